/** Asks before something is done. Nothing else of the page is reached while it is there. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Desk } from "../desk";
import type { Question } from "../question";
import { exact } from "../visible";

export function Asks({ desk, question }: { desk: Desk; question: Question }) {
  const box = useRef<HTMLDialogElement>(null);
  const [typed, setTyped] = useState("");
  const isOff = question.typed !== undefined && typed.trim() !== question.typed;
  useLayoutEffect(() => {
    const before = document.activeElement;
    box.current?.showModal();
    return () => before instanceof HTMLElement && before.focus();
  }, []);
  const back = () => desk.ask(null);
  return (
    <dialog
      ref={box}
      role="alertdialog"
      aria-labelledby="asks"
      aria-describedby="asks-more"
      onCancel={(event) => {
        event.preventDefault();
        back();
      }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (isOff) return;
          back();
          question.act(typed.trim());
        }}
      >
        <h2 id="asks">{exact(question.text)}</h2>
        <p id="asks-more">{exact(question.detail ?? "")}</p>
        {(question.typed !== undefined || question.why !== undefined) && (
          <label>
            {question.typed === undefined ? question.why : `Type ${question.typed} to go on`}
            <input value={typed} autocomplete="off" autocapitalize="off" onInput={(event) => setTyped(event.currentTarget.value)} />
          </label>
        )}
        <div class="row">
          <button type="button" onClick={back}>
            Back
          </button>
          <button type="submit" class={question.isBad === true ? "bad" : "good"} disabled={isOff}>
            {question.verb}
          </button>
        </div>
      </form>
    </dialog>
  );
}
