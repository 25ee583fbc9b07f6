/** What is done at set times: when next, and what became of it last. */
import { useState } from "preact/hooks";
import { viewAt } from "../address";
import type { Desk } from "../desk";
import { post } from "../gateway";
import type { Event, Schedule, Tick } from "../types";
import { line } from "../visible";
import { age, dayAndClock, money } from "../words";
import { useRead } from "./read";
import { useNow } from "./use";

const isOfSchedules = (event: Event) => event.kind.startsWith("schedule.") || event.kind.startsWith("run.");

export function Schedules({ desk }: { desk: Desk }) {
  const now = useNow(30_000);
  const { value: schedules, error, again } = useRead<Schedule[]>(desk, "/v1/schedules", isOfSchedules);
  return (
    <div class="scrolls fills">
      {error !== null && <p class="bad">{line(error)}</p>}
      {schedules?.length === 0 && (
        <p class="faint">
          None. <code>mimir cron add</code> makes one.
        </p>
      )}
      <ul class="plain-list">
        {(schedules ?? []).map((schedule) => (
          <li key={schedule.name} class="card">
            <One desk={desk} schedule={schedule} now={now} again={again} />
          </li>
        ))}
      </ul>
    </div>
  );
}

/** What it does, in a few words. */
function does({ does }: Schedule): string {
  switch (does.kind) {
    case "prompt":
      return `asks ${does.frame ?? does.project ?? "an agent"}: ${does.text}`;
    case "workflow":
      return `runs ${does.workflow}${does.project ? ` for ${does.project}` : ""}`;
    case "frame":
      return `${does.wish} of ${does.frame}`;
    case "review":
      return `reviews ${does.project}`;
  }
}

function One({ desk, schedule, now, again }: { desk: Desk; schedule: Schedule; now: number; again: () => void }) {
  const [isUnfolded, setUnfolded] = useState(false);
  const { name, last, next, paused_because: why } = schedule;
  const isPaused = why !== null && why !== undefined;
  const path = `/v1/schedules/${encodeURIComponent(name)}`;
  const say = (verb: string, body?: unknown) => void desk.change(() => post(`${path}/${verb}`, body), null).then(again);
  const first = next[0];
  return (
    <>
      <p>
        <b>{line(name)}</b> <span class="faint">{line(schedule.words)} ({line(schedule.zone)})</span>
      </p>
      <p class="short">{line(does(schedule))}</p>
      {isPaused && <p class="warn">‖ paused: {line(why)}</p>}
      <p class="faint">
        {!isPaused && first !== undefined && `next ${dayAndClock(first)} · `}
        {last ? `last ${age(last.instant, now)}: ${tickWords(last)}` : "was never due"}
      </p>
      {desk.may("admin") && (
        <div class="row">
          <button type="button" onClick={() => desk.ask({ text: `Do ${name} now?`, detail: does(schedule), verb: "Do it", act: () => say("run") })}>
            Run now
          </button>
          {isPaused ? (
            <button type="button" onClick={() => say("resume")}>
              Resume
            </button>
          ) : (
            <button
              type="button"
              onClick={() => desk.ask({ text: `Pause ${name}?`, verb: "Pause", why: "why (may be empty)", act: (words) => say("pause", words === "" ? {} : { why: words }) })}
            >
              Pause
            </button>
          )}
        </div>
      )}
      <details onToggle={(event) => setUnfolded(event.currentTarget.open)}>
        <summary>history</summary>
        {isUnfolded && <History desk={desk} path={path} />}
      </details>
    </>
  );
}

function tickWords(tick: Tick): string {
  return [tick.run_state ?? tick.outcome, tick.run_reason ?? tick.reason ?? ""].filter((part) => part !== "").map(line).join(", ");
}

function History({ desk, path }: { desk: Desk; path: string }) {
  const { value: ticks, error } = useRead<Tick[]>(desk, `${path}/history?last=20`, isOfSchedules);
  if (error !== null) return <p class="bad">{line(error)}</p>;
  if (ticks?.length === 0) return <p class="faint">It was never due.</p>;
  return (
    <ul class="plain-list">
      {(ticks ?? []).map((tick) => (
        <li key={`${tick.instant} ${tick.seen_at}`} class="line">
          <time class="faint">{dayAndClock(tick.instant)}</time> {tickWords(tick)} <span class="faint">{tick.cost_microusd > 0 && money(tick.cost_microusd)}</span>{" "}
          {tick.run && <a href={viewAt("runs", tick.run)}>the run</a>}
        </li>
      ))}
    </ul>
  );
}
