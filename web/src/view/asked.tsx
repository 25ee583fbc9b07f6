/** What an agent asks, as it is decided upon: every character that does something unseen is written out. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Desk } from "../desk";
import type { Approval } from "../types";
import { exact } from "../visible";
import { left } from "../words";
import { Questions } from "./questions";
import { useFocus, useNow } from "./use";

/** A yes is for what was read: a key or a click that comes sooner was meant for something else. */
const READ_MS = 400;

/** What of it is asked for, one thing each. What opencode lists as patterns is only what it found in a command. */
export function wanted(approval: Approval): string[] {
  if (approval.form !== "permission") return [approval.text];
  const tool = approval.tool ?? "something";
  const metadata = (approval.metadata ?? {}) as Record<string, unknown>;
  const command = typeof metadata["command"] === "string" ? metadata["command"] : null;
  const rest = (approval.patterns ?? []).filter((pattern) => command === null || !command.includes(pattern));
  const all = command === null ? rest : [command, ...rest];
  return all.length === 0 ? [approval.text] : all.map((one) => `${tool}: ${one}`);
}

function diffOf(approval: Approval): string | null {
  const metadata = (approval.metadata ?? {}) as Record<string, unknown>;
  return approval.form === "permission" && typeof metadata["diff"] === "string" ? metadata["diff"].trimEnd() : null;
}

/** One of them; keys answer the first. */
export function Asked({ desk, approval, at }: { desk: Desk; approval: Approval; at: number }) {
  const now = useNow(1000);
  const isFirst = at === 0;
  const box = useRef<HTMLElement | null>(null);
  const shownAt = useRef(0);
  const [isDenying, setDenying] = useState(false);
  const [isSent, setSent] = useState(false);
  const may = desk.may("approve");
  const send = (answer: Parameters<Desk["answer"]>[1]) => {
    if (isSent || performance.now() - shownAt.current < READ_MS) return;
    setSent(true);
    void desk.answer(approval, answer).then((done) => setSent(done));
  };
  // Another one went, and this one moved to where that one was.
  useLayoutEffect(() => {
    shownAt.current = performance.now();
  }, [at]);
  useLayoutEffect(() => {
    if (!isFirst) return;
    const act = (event: CustomEvent<string>) => {
      if (approval.form === "question" && event.detail !== "reject") return;
      if (event.detail === "reject") setDenying(true);
      // What does not fit is shown to its end first.
      else if (showEnd(box.current)) shownAt.current = performance.now();
      else send({ decision: event.detail === "always" ? "always" : "once" });
    };
    document.addEventListener("mimir:answer", act as EventListener);
    return () => document.removeEventListener("mimir:answer", act as EventListener);
  });
  const who = approval.from_child ? "a sub-agent" : "the agent";
  const what = { permission: "wants to", question: "asks", connection: "wants to reach a host" }[approval.form];
  const always = approval.always ?? [];
  const diff = diffOf(approval);
  return (
    <section class="asked" ref={box} aria-label={`${who} ${what}`}>
      <h3>
        <span aria-hidden="true">◆ </span>
        {who} {what}
        {approval.deadline_at ? <span class="faint"> · no in {left(approval.deadline_at, now)}</span> : null}
      </h3>
      {approval.form === "question" ? (
        <Questions approval={approval} isOff={!may || isSent} onAnswer={(answers) => send({ decision: "answer", answers })} />
      ) : (
        wanted(approval).map((one, at) => (
          <pre key={at} tabIndex={0} class="exact">
            {exact(one)}
          </pre>
        ))
      )}
      {diff !== null && <Diff text={diff} />}
      {approval.form !== "question" && always.length > 0 && (
        <p class="faint">
          {approval.form === "connection" ? "always would put on the frame's list: " : "always would allow: "}
          <code>{exact(always.join(", "))}</code>
        </p>
      )}
      {!may && <p class="faint">This session may not decide (it lacks the scope `approve`).</p>}
      {may && isDenying && (
        <Deny
          isOff={isSent}
          onBack={() => setDenying(false)}
          onDeny={(why) => send({ decision: "reject", ...(why === "" ? {} : { why }) })}
        />
      )}
      {may && !isDenying && (
        <div class="row">
          {approval.form !== "question" && (
            <>
              <button type="button" class="good" disabled={isSent} onClick={() => send({ decision: "once" })}>
                Allow once {isFirst && <kbd>y</kbd>}
              </button>
              <button type="button" disabled={isSent} onClick={() => send({ decision: "always" })}>
                Always {isFirst && <kbd>A</kbd>}
              </button>
            </>
          )}
          <button type="button" class="bad" disabled={isSent} onClick={() => setDenying(true)}>
            Deny {isFirst && <kbd>n</kbd>}
          </button>
        </div>
      )}
    </section>
  );
}

/** Scrolls to the end of what is asked, if that cannot be seen; says whether it could not. */
function showEnd(box: HTMLElement | null): boolean {
  const area = box?.parentElement;
  if (!box || !area || box.getBoundingClientRect().bottom <= area.getBoundingClientRect().bottom + 2) return false;
  box.scrollIntoView({ block: "end" });
  return true;
}

/** A no, with its reason. */
function Deny({ isOff, onBack, onDeny }: { isOff: boolean; onBack: () => void; onDeny: (why: string) => void }) {
  const [why, setWhy] = useState("");
  const field = useFocus<HTMLInputElement>();
  return (
    <form
      class="row"
      onSubmit={(event) => {
        event.preventDefault();
        onDeny(why.trim());
      }}
    >
      <label class="grow">
        <span class="hidden">why not</span>
        <input
          ref={field}
          value={why}
          placeholder="why not (the agent reads it); may be empty"
          onInput={(event) => setWhy(event.currentTarget.value)}
          onKeyDown={(event) => event.key === "Escape" && onBack()}
        />
      </label>
      <button type="submit" disabled={isOff}>
        Deny
      </button>
      <button type="button" onClick={onBack}>
        Back
      </button>
    </form>
  );
}

/** A change to a file; each line keeps its sign, so colour is not alone. */
export function Diff({ text }: { text: string }) {
  return (
    <pre tabIndex={0} class="diff">
      {text.split("\n").map((one, at) => (
        <span key={at} class={one.startsWith("+") ? "added" : one.startsWith("-") ? "removed" : "same"}>
          {exact(one)}
          {"\n"}
        </span>
      ))}
    </pre>
  );
}
