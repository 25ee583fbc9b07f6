/** One run: what it is, what it asks, what happened in it. */
import { frameAt, viewAt } from "../address";
import type { Desk } from "../desk";
import { post } from "../gateway";
import { isSafe } from "../markdown";
import type { RunDetails } from "../types";
import { exact, line, prose } from "../visible";
import { clock, dayAndClock, money } from "../words";
import { useRead } from "./read";
import { isOfRuns, stateWords } from "./runs";

const OVER = ["succeeded", "failed", "cancelled", "superseded"];
/** What can be tried again. */
const FAILED = ["failed", "cancelled"];

export function RunShown({ desk, id }: { desk: Desk; id: string }) {
  const { value: run, error, again } = useRead<RunDetails>(desk, `/v1/runs/${encodeURIComponent(id)}`, isOfRuns);
  if (run === null) return <p class={error === null ? "faint" : "bad"}>{error === null ? "The run is being read…" : line(error)}</p>;
  const facts = [run.workflow, run.project ?? "", run.stage, `attempt ${run.attempt}`, `since ${dayAndClock(run.created_at)}`, money(run.cost_microusd)];
  return (
    <div class="scrolls fills">
      <p>
        <a href={viewAt("runs")}>all runs</a>
      </p>
      <h3>{line(run.title)}</h3>
      <p>
        <span class={`word run-${run.state}`}>{stateWords(run.state)}</span> <span class="faint">{facts.filter((part) => part !== "").map(line).join(" · ")}</span>
      </p>
      {run.reason && <p>{line(run.reason)}</p>}
      {run.frame && (
        <p>
          in <a href={frameAt(run.frame)}>{run.frame}</a>
        </p>
      )}
      {run.pull && (
        <p>
          pull request {run.pull.is_draft && "(draft) "}
          <Away to={run.pull.url} words={`#${run.pull.number}`} />
        </p>
      )}
      <Decide desk={desk} run={run} again={again} />
      {run.report && (
        <details>
          <summary>what was found</summary>
          <p class="words">{prose(run.report.cause)}</p>
        </details>
      )}
      {run.checks.map((check, at) => (
        <details key={at}>
          <summary>
            {check.exit_code === 0 ? "✓" : "✖"} <code>{line(check.command)}</code> <span class="faint">{check.exit_code ?? "ended"}</span>
          </summary>
          <pre tabIndex={0}>{prose(check.tail)}</pre>
        </details>
      ))}
      <h3>Timeline</h3>
      <ol class="plain-list">
        {run.timeline.map((entry) => (
          <li key={entry.id} class="line">
            <time class="faint" title={dayAndClock(entry.at)}>
              {clock(entry.at)}
            </time>{" "}
            <b>{line(entry.kind)}</b> <span class="faint">{line(entry.stage)}</span> {line(entry.text)} {entry.link && <Away to={entry.link} words="look" />}
          </li>
        ))}
      </ol>
    </div>
  );
}

/** A link to the web, with where it leads. What is none is text. */
function Away({ to, words }: { to: string; words: string }) {
  if (!isSafe(to)) return <span class="faint">{line(to)}</span>;
  return (
    <>
      <a href={to} target="_blank" rel="noopener noreferrer">
        {words}
      </a>{" "}
      <span class="faint">({line(to)})</span>
    </>
  );
}

/** What can be said about it. A yes is bound to what it is for. */
function Decide({ desk, run, again }: { desk: Desk; run: RunDetails; again: () => void }) {
  const path = `/v1/runs/${encodeURIComponent(run.id)}`;
  const subject = run.held?.subject ?? "";
  const say = (verb: string, done: string, body: unknown) =>
    void desk.change(() => post(`${path}/${verb}`, body), done).then(again);
  const why = (text: string) => (text === "" ? {} : { why: text });
  const ask = (verb: string, text: string, done: string) =>
    desk.ask({ text, verb, isBad: true, why: "why (may be empty)", act: (words) => say(verb.toLowerCase(), done, why(words)) });
  const isOver = OVER.includes(run.state);
  return (
    <div class="row">
      {run.held && desk.may("approve") && (
        <>
          <button
            type="button"
            class="good"
            onClick={() =>
              desk.ask({
                text: `Let ${run.title} go on?`,
                detail: [run.reason ?? "", subject === "" ? "" : `The yes is for ${subject}.`].join(" ").trim(),
                verb: "Approve",
                act: () => say("approve", "the run goes on", subject === "" ? {} : { subject }),
              })
            }
          >
            Approve
          </button>
          <button type="button" class="bad" onClick={() => ask("Reject", `Reject ${run.title}?`, "the run is rejected")}>
            Reject
          </button>
        </>
      )}
      {run.held && <p>it waits at {exact(run.held.gate)}</p>}
      {!isOver && desk.may("send") && (
        <button type="button" onClick={() => ask("Cancel", `Cancel ${run.title}?`, "the run is cancelled")}>
          Cancel
        </button>
      )}
      {FAILED.includes(run.state) && desk.may("frames") && (
        <button type="button" onClick={() => say("retry", "another attempt was asked for", undefined)}>
          Retry
        </button>
      )}
    </div>
  );
}
