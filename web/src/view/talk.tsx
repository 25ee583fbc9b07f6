/** A conversation: its turns, what goes on, and what waits behind it. */
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Piece, argument } from "../conversation";
import type { Desk } from "../desk";
import type { Message, Part, Turn } from "../types";
import { exact, line, prose } from "../visible";
import { age, money } from "../words";
import { Diff } from "./asked";
import { Markdown } from "./markdown";
import { useNow } from "./use";

/** More of an output is not drawn; `mimir sessions show` has all of it. */
const MOST_OUTPUT = 16 * 1024;
/** So many turns are drawn; a button shows those before them. */
const TURNS = 60;
/** Nearer to the end than this, the end is followed. */
const NEAR = 80;

export function Talk({ desk }: { desk: Desk }) {
  const now = useNow(30_000);
  const box = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  const [shown, setShown] = useState(TURNS);
  const talk = desk.talk;
  useEffect(() => {
    follows.current = true;
    setShown(TURNS);
  }, [talk]);
  useLayoutEffect(() => {
    const element = box.current;
    if (element !== null && follows.current) element.scrollTop = element.scrollHeight;
  });
  const turns = talk?.told ?? [];
  const hidden = Math.max(0, turns.length - shown);
  // While an answer is written, what was said before is not drawn again and again.
  const drawn = useMemo(
    () =>
      turns.slice(hidden).map((turn, at) => (
        <TurnShown key={turn.agent_message ?? `${turn.at}-${hidden + at}`} turn={turn} now={now} />
      )),
    [talk?.session?.turns, turns.length, hidden, now],
  );
  if (talk === null) return null;
  return (
    <div
      class="talk"
      ref={box}
      tabIndex={0}
      role="log"
      aria-label="conversation"
      onScroll={(event) => {
        const { scrollHeight, scrollTop, clientHeight } = event.currentTarget;
        follows.current = scrollHeight - scrollTop - clientHeight < NEAR;
      }}
    >
      {!talk.isRead && <p class="faint">The conversation is being read…</p>}
      {talk.isRead && turns.length === 0 && talk.live.length === 0 && <p class="faint">Nothing was said yet.</p>}
      {hidden > 0 && (
        <button type="button" class="plain" onClick={() => setShown(shown + TURNS)}>
          {hidden} older messages
        </button>
      )}
      {drawn}
      {talk.live.length > 0 && (
        <article class="turn agent live" aria-busy="true">
          {talk.live.map((piece, at) => (
            <PieceShown key={at} piece={piece} />
          ))}
        </article>
      )}
      {talk.waiting.map((message) => (
        <Waiting key={message.id} desk={desk} message={message} />
      ))}
    </div>
  );
}

function TurnShown({ turn, now }: { turn: Turn; now: number }) {
  const isPerson = turn.role === "user";
  const parts = turn.parts ?? [];
  const facts = [age(turn.at, now)];
  if (turn.model) facts.push(line(turn.model));
  if ((turn.cost_microusd ?? 0) > 0) facts.push(money(turn.cost_microusd ?? 0));
  if (turn.taken_back) facts.push("taken back");
  return (
    <article class={`turn ${isPerson ? "person" : "agent"}${turn.taken_back ? " undone" : ""}`}>
      <header>
        <span class="who">{isPerson ? "you" : "agent"}</span> <span class="faint">{facts.join(" · ")}</span>
      </header>
      {isPerson ? (
        <p class="words">{prose(turn.text)}</p>
      ) : parts.length === 0 ? (
        <Markdown text={turn.text} />
      ) : (
        parts.map((part, at) => <PartShown key={at} part={part} />)
      )}
      {turn.reason && <p class="bad">{line(turn.reason)}</p>}
    </article>
  );
}

function PartShown({ part }: { part: Part }) {
  switch (part.type) {
    case "text":
      return part.synthetic ? null : <Markdown text={part.text} />;
    case "reasoning":
      return <Thought text={part.text} />;
    case "tool": {
      const { tool, status, title, input, output } = part;
      return <Tool tool={tool} status={status} title={title ?? null} input={input} output={output ?? null} />;
    }
    case "files":
      return <p class="faint">changed {part.paths.map(line).join(", ")}</p>;
    default:
      return null;
  }
}

function PieceShown({ piece }: { piece: Piece }) {
  switch (piece.kind) {
    case "text":
      return <Markdown text={piece.text} />;
    case "reasoning":
      return <Thought text={piece.text} />;
    case "retry":
      return <p class="warn">↻ {line(piece.text)}</p>;
    case "tool":
      return <Tool {...piece} />;
  }
}

function Thought({ text }: { text: string }) {
  if (text.trim() === "") return null;
  return (
    <details class="thought">
      <summary>thought</summary>
      <p class="words">{prose(text)}</p>
    </details>
  );
}

function Tool(props: { tool: string; status: string; title: string | null; input: unknown; output: string | null }) {
  const { tool, status, title, input, output } = props;
  const what = argument(input) ?? title ?? "";
  const sign = { pending: "◔", running: "●", completed: "✓", error: "✖" }[status] ?? "·";
  const fields = (typeof input === "object" && input !== null ? input : {}) as Record<string, unknown>;
  const change = typeof fields["oldString"] === "string" && typeof fields["newString"] === "string" ? changed(fields["oldString"], fields["newString"]) : null;
  return (
    <details class={`tool ${status}`}>
      <summary>
        <span aria-hidden="true">{sign}</span> <span class="hidden">{status}</span>
        <b>{line(tool)}</b> <span class="what">{line(what.slice(0, 300))}</span>
      </summary>
      {change !== null ? <Diff text={change} /> : <pre tabIndex={0}>{exact(JSON.stringify(input, null, 2) ?? "")}</pre>}
      {output !== null && output !== "" && (
        <pre tabIndex={0}>
          {prose(output.slice(0, MOST_OUTPUT))}
          {output.length > MOST_OUTPUT ? "\n… (cut here; `mimir sessions show` has all of it)" : ""}
        </pre>
      )}
    </details>
  );
}

function changed(before: string, after: string): string {
  const mark = (text: string, sign: string) => text.split("\n").map((one) => `${sign}${one}`);
  return [...mark(before, "-"), ...mark(after, "+")].join("\n");
}

function Waiting({ desk, message }: { desk: Desk; message: Message }) {
  return (
    <article class="turn person waiting">
      <header>
        <span class="who">◌ waits for its turn</span>
        {desk.may("send") && (
          <button type="button" class="plain" onClick={() => void desk.cancel(message)}>
            cancel
          </button>
        )}
      </header>
      <p class="words">{prose(message.text)}</p>
    </article>
  );
}
