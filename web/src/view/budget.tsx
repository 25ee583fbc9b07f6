/** Budgets: how much of each is used, and a form to set one. */
import { useState } from "preact/hooks";
import { type Limit, PERIODS, SCOPES, limitOf, nameOf, placeOf } from "../budget";
import type { Desk } from "../desk";
import { post, remove } from "../gateway";
import type { Budget } from "../types";
import { line } from "../visible";
import { money } from "../words";

export function Budgets({ desk, budgets, projects, again }: { desk: Desk; budgets: Budget[]; projects: string[]; again: () => void }) {
  const may = desk.may("admin");
  return (
    <>
      {budgets.length === 0 && <p class="faint">None is set.</p>}
      <ul class="plain-list">
        {budgets.map((budget) => (
          <li key={nameOf(budget)} class="card">
            <BudgetShown budget={budget} />
            {may && (SCOPES as readonly string[]).includes(budget.scope) && (
              <button type="button" class="plain" onClick={() => takeAway(desk, budget, again)} aria-label={`Remove the budget: ${nameOf(budget)}`}>
                remove
              </button>
            )}
          </li>
        ))}
      </ul>
      {may && <LimitForm desk={desk} projects={projects} again={again} />}
    </>
  );
}

function BudgetShown({ budget }: { budget: Budget }) {
  const words = `${money(budget.spent_microusd)} of ${money(budget.limit_microusd)}, ${budget.percent} %`;
  return (
    <>
      <b>{line(nameOf(budget))}</b> <span class={budget.percent >= 100 ? "bad" : budget.percent >= 80 ? "warn" : "faint"}>{words}</span>
      <progress max={100} value={Math.min(100, budget.percent)} aria-label={`${line(nameOf(budget))}: ${words}`} />
      {budget.reserved_microusd > 0 && <span class="faint">{money(budget.reserved_microusd)} are set aside for calls that go on</span>}
    </>
  );
}

function takeAway(desk: Desk, budget: Budget, again: () => void): void {
  desk.ask({
    text: `Remove the budget: ${nameOf(budget)}?`,
    detail: "What the configuration says holds again.",
    verb: "Remove",
    isBad: true,
    act: () => void desk.change(() => remove(placeOf(budget)), "the budget is removed").then(again),
  });
}

function LimitForm({ desk, projects, again }: { desk: Desk; projects: string[]; again: () => void }) {
  const [limit, setLimit] = useState<Limit>({ scope: "home", subject: "", period: "day", dollars: "" });
  const [wrong, setWrong] = useState<string | null>(null);
  const set = (change: Partial<Limit>) => setLimit((before) => ({ ...before, ...change }));
  const subjects = limit.scope === "frame" ? desk.frames.map((frame) => frame.name) : projects;
  return (
    <form
      class="row"
      aria-label="set a budget"
      onSubmit={(event) => {
        event.preventDefault();
        const wish = limitOf(limit);
        setWrong(typeof wish === "string" ? wish : null);
        if (typeof wish === "string") return;
        void desk.change(() => post("/v1/budgets", wish), "the budget is set").then((done) => {
          if (done) set({ dollars: "" });
          again();
        });
      }}
    >
      <select aria-label="whose" value={limit.scope} onChange={(event) => set({ scope: event.currentTarget.value as Limit["scope"], subject: "" })}>
        {SCOPES.map((scope) => (
          <option key={scope}>{scope}</option>
        ))}
      </select>
      {limit.scope !== "home" && (
        <select aria-label={limit.scope} value={limit.subject} onChange={(event) => set({ subject: event.currentTarget.value })}>
          <option value="">which…</option>
          {subjects.map((subject) => (
            <option key={subject} value={subject}>
              {line(subject)}
            </option>
          ))}
        </select>
      )}
      <select aria-label="in which time" value={limit.period} onChange={(event) => set({ period: event.currentTarget.value as Limit["period"] })}>
        {PERIODS.map((period) => (
          <option key={period} value={period}>
            {period === "total" ? "in all" : `a ${period}`}
          </option>
        ))}
      </select>
      <label class="dollars">
        <span class="hidden">US dollars</span>
        <input inputMode="decimal" value={limit.dollars} placeholder="US dollars" autocomplete="off" onInput={(event) => set({ dollars: event.currentTarget.value })} />
      </label>
      <button type="submit">Set</button>
      {wrong !== null && (
        <p class="bad" role="alert">
          {wrong}
        </p>
      )}
    </form>
  );
}
