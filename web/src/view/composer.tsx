/** Where a message is written. What was written stays with its frame until it is sent. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Desk } from "../desk";

const drafts = new Map<string, string>();

export function Composer({ desk, frame }: { desk: Desk; frame: string }) {
  const [text, setText] = useState(drafts.get(frame) ?? "");
  const [isSent, setSent] = useState(false);
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => setText(drafts.get(frame) ?? ""), [frame]);
  const keep = (now: string) => {
    drafts.set(frame, now);
    setText(now);
  };
  const send = async () => {
    if (isSent || text.trim() === "") return;
    setSent(true);
    const done = await desk.send(text);
    setSent(false);
    // Whoever typed on meanwhile, or went to another frame, keeps what stands there.
    if (done && drafts.get(frame) === text) drafts.set(frame, "");
    setText((now) => (done && now === text ? "" : now));
    area.current?.focus();
  };
  if (!desk.may("send")) return <p class="faint composer">This session may only look (it lacks the scope `send`).</p>;
  return (
    <form
      class="composer row"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <label class="grow">
        <span class="hidden">message to {frame}</span>
        <textarea
          id="message"
          ref={area}
          rows={Math.min(8, Math.max(2, text.split("\n").length))}
          value={text}
          placeholder={`message to ${frame} — Enter sends, Shift-Enter begins a line`}
          onInput={(event) => keep(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Escape") event.currentTarget.blur();
            if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            void send();
          }}
        />
      </label>
      <button type="submit" class="good" disabled={isSent || text.trim() === ""}>
        Send
      </button>
    </form>
  );
}
