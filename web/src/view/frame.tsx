/** The chosen frame: what it is, what its agent asks, its conversation, and what else there is to see. */
import { type Tab, frameAt } from "../address";
import type { Desk } from "../desk";
import type { Frame } from "../types";
import { line } from "../visible";
import { age, left, money, sign, wordOf } from "../words";
import { Actions } from "./actions";
import { Asked } from "./asked";
import { Composer } from "./composer";
import { Events } from "./happened";
import { Logs } from "./logs";
import { Tabs } from "./tabs";
import { Talk } from "./talk";
import { TerminalTab } from "./terminal";
import { Usage } from "./usage";
import { useNow } from "./use";

export function FrameShown({ desk, frame, tab }: { desk: Desk; frame: Frame; tab: Tab }) {
  const asked = desk.askedBy(frame.name);
  return (
    <main class="chosen" aria-label={frame.name}>
      <Head desk={desk} frame={frame} asked={asked.length} />
      <Tabs frame={frame.name} tab={tab} />
      <Body key={`${tab} ${frame.name}`} desk={desk} frame={frame} tab={tab} />
      {asked.length > 0 && tab === "terminal" && (
        // A terminal wants the room; keys answer only what is drawn.
        <a class="asks-short" href={frameAt(frame.name, "talk")} aria-live="polite">
          {`${sign("waiting")} ${line(asked[0]?.text ?? "")}${asked.length > 1 ? ` and ${asked.length - 1} more` : ""}`}
        </a>
      )}
      {asked.length > 0 && tab !== "terminal" && (
        <div class="asks-all" aria-live="polite">
          {asked.map((approval, at) => (
            <Asked key={approval.id} desk={desk} approval={approval} at={at} />
          ))}
        </div>
      )}
      {tab === "talk" && <Composer desk={desk} frame={frame.name} />}
    </main>
  );
}

function Body({ desk, frame, tab }: { desk: Desk; frame: Frame; tab: Tab }) {
  switch (tab) {
    case "talk":
      return <Talk desk={desk} />;
    case "logs":
      return <Logs desk={desk} frame={frame} />;
    case "events":
      return <Events desk={desk} frame={frame.name} />;
    case "usage":
      return <Usage desk={desk} frame={frame} />;
    case "terminal":
      return <TerminalTab desk={desk} frame={frame} />;
  }
}

function Head({ desk, frame, asked }: { desk: Desk; frame: Frame; asked: number }) {
  const now = useNow(30_000);
  const word = wordOf(frame, asked);
  const facts = [frame.network ?? frame.engine ?? "podman", `active ${age(frame.last_active_at, now)}`, money(frame.cost_microusd)];
  if (frame.budget) facts.push(`${frame.budget.percent} % of its budget`);
  if (frame.expires_at) facts.push(`gone in ${left(frame.expires_at, now)}`);
  if (frame.preview_port) facts.push(`preview :${frame.preview_port}`);
  const isBusy = ["busy", "waiting", "retrying"].includes(word);
  return (
    <header class="head">
      <a class="back" href="#/" aria-label="all frames">
        ‹
      </a>
      <div class="grow">
        <h2>{frame.name}</h2> <span class={`word ${word}`}>{`${sign(word)} ${line(frame.doing ?? word)}`}</span>
        <p class="faint">{facts.map(line).join(" · ")}</p>
        {frame.reason && <p class="bad">{line(frame.reason)}</p>}
        {desk.doing.has(frame.name) && <p class="doing">{line(desk.doing.get(frame.name) ?? "")}</p>}
      </div>
      {desk.sessions.length > 1 && (
        <label>
          <span class="hidden">conversation</span>
          <select value={desk.talk?.session?.id ?? ""} onChange={(event) => desk.choose(frame.name, event.currentTarget.value)}>
            {desk.sessions.map((session) => (
              <option key={session.id} value={session.id}>
                {line(session.title)}
              </option>
            ))}
          </select>
        </label>
      )}
      <div class="row">
        {desk.may("send") && isBusy && (
          <button type="button" onClick={() => void desk.stopTurn()}>
            Stop turn <kbd>b</kbd>
          </button>
        )}
        <Actions desk={desk} frame={frame} />
      </div>
    </header>
  );
}
