/** Messages of all frames that wait or run. */
import type { Desk } from "../desk";
import { line } from "../visible";
import { useFocus } from "./use";

export function Queue({ desk, onClose }: { desk: Desk; onClose: () => void }) {
  const close = useFocus<HTMLButtonElement>();
  return (
    <aside class="over" aria-label="queue">
      <div class="row">
        <h2 class="grow">Queue</h2>
        <button type="button" ref={close} onClick={onClose}>
          Close
        </button>
      </div>
      {desk.messages.length === 0 && <p class="faint">Nothing waits, nothing runs.</p>}
      <ol class="queue">
        {desk.messages.map((message) => (
          <li key={message.id}>
            <a href={`#/${message.frame}`} onClick={onClose}>
              {message.frame}
            </a>{" "}
            <span class="faint">{message.state}</span>
            <p class="words short">{line(message.text)}</p>
            {desk.may("send") && (
              <button type="button" class="plain" onClick={() => void desk.cancel(message)}>
                cancel
              </button>
            )}
          </li>
        ))}
      </ol>
    </aside>
  );
}
