/** Questions of an agent, answered together. */
import { useState } from "preact/hooks";
import type { Approval } from "../types";
import { exact } from "../visible";

export function Questions(props: { approval: Approval; isOff: boolean; onAnswer: (answers: string[][]) => void }) {
  const { approval, isOff, onAnswer } = props;
  const questions = approval.questions ?? [];
  const [chosen, setChosen] = useState<string[][]>(questions.map(() => []));
  const [free, setFree] = useState<string[]>(questions.map(() => ""));
  const answers = questions.map((_, at) => {
    const own = (free[at] ?? "").trim();
    return [...(chosen[at] ?? []), ...(own === "" ? [] : [own])];
  });
  const toggle = (at: number, label: string, multiple: boolean) => {
    const before = chosen[at] ?? [];
    const without = before.filter((other) => other !== label);
    const now = before.includes(label) ? without : multiple ? [...before, label] : [label];
    setChosen(chosen.map((labels, n) => (n === at ? now : labels)));
    if (!multiple) setFree(free.map((text, n) => (n === at ? "" : text)));
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onAnswer(answers);
      }}
    >
      {questions.map((question, at) => (
        <fieldset key={at} disabled={isOff}>
          <legend>{exact(question.header)}</legend>
          <p class="asks">{exact(question.text)}</p>
          {question.options.map((option) => (
            <label key={option.label} class="option">
              <input
                type={question.multiple ? "checkbox" : "radio"}
                name={`${approval.id}-${at}`}
                checked={chosen[at]?.includes(option.label) ?? false}
                onChange={() => toggle(at, option.label, question.multiple)}
              />
              <span>
                {exact(option.label)} <span class="faint">{exact(option.description)}</span>
              </span>
            </label>
          ))}
          <label>
            <span class="hidden">in your own words</span>
            <input
              value={free[at] ?? ""}
              placeholder="in your own words"
              onInput={(event) => {
                const text = event.currentTarget.value;
                setFree(free.map((before, n) => (n === at ? text : before)));
                if (!question.multiple && text.trim() !== "") setChosen(chosen.map((labels, n) => (n === at ? [] : labels)));
              }}
            />
          </label>
        </fieldset>
      ))}
      <button type="submit" class="good" disabled={isOff || answers.some((one) => one.length === 0)}>
        Answer
      </button>
    </form>
  );
}
