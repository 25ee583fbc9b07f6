/** What was spent, day by day and by whom, and how much of it is left. */
import { useState } from "preact/hooks";
import type { Desk } from "../desk";
import { post } from "../gateway";
import { byDay } from "../plot";
import type { Event, Spending as Spent } from "../types";
import { line } from "../visible";
import { many, money } from "../words";
import { Budgets } from "./budget";
import { Bars } from "./chart";
import { useRead } from "./read";
import { useNow } from "./use";

const DAYS = [7, 30, 90];

const isOfMoney = (event: Event) => event.kind.startsWith("budget.") || event.kind.startsWith("spending.") || event.kind === "message.answered";

export function Spending({ desk }: { desk: Desk }) {
  const now = useNow(60_000);
  const [days, setDays] = useState(30);
  const { value: spent, error, again } = useRead<Spent>(desk, `/v1/budgets?days=${days}`, isOfMoney);
  const bars = byDay((spent?.by_day ?? []).map(({ name, cost_microusd: value }) => ({ name, value })), days, now);
  return (
    <>
      <div class="row tools">
        <label>
          the last{" "}
          <select value={days} onChange={(event) => setDays(Number(event.currentTarget.value))}>
            {DAYS.map((one) => (
              <option key={one} value={one}>
                {one} days
              </option>
            ))}
          </select>
        </label>
        {spent !== null && desk.may("admin") && <Pause desk={desk} isPaused={spent.paused} again={again} />}
      </div>
      <div class="scrolls fills">
        {error !== null && <p class="bad">{line(error)}</p>}
        {spent?.paused === true && <p class="warn">▲ Spending is paused: no model is asked until somebody resumes it.</p>}
        {spent !== null && (
          <>
            <Bars name="spent" bars={bars} words={money} />
            <h3>Budgets</h3>
            <Budgets desk={desk} budgets={spent.budgets} projects={spent.by_project.map((share) => share.name)} again={again} />
            <Shares of="frame" shares={spent.by_frame} />
            <Shares of="project" shares={spent.by_project} />
            <Shares of="model" shares={spent.by_model} />
          </>
        )}
      </div>
    </>
  );
}

function Shares({ of, shares }: { of: string; shares: Spent["by_frame"] }) {
  if (shares.length === 0) return null;
  return (
    <>
      <h3>By {of}</h3>
      <div class="wide" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">{of}</th>
              <th scope="col">calls</th>
              <th scope="col">cost</th>
            </tr>
          </thead>
          <tbody>
            {shares.map((share) => (
              <tr key={share.name}>
                <td>{line(share.name)}</td>
                <td>
                  {many(share.call_count)}
                  {share.unpriced_count > 0 && <span class="warn"> ({share.unpriced_count} without a price)</span>}
                </td>
                <td>{money(share.cost_microusd)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function Pause({ desk, isPaused, again }: { desk: Desk; isPaused: boolean; again: () => void }) {
  const say = (verb: string) => void desk.change(() => post(`/v1/budgets/${verb}`), null, "status").then(again);
  if (isPaused) {
    return (
      <button type="button" onClick={() => say("resume")}>
        Resume spending
      </button>
    );
  }
  const question = { text: "Pause all spending?", detail: "No agent of this gateway reaches a model until somebody resumes it.", verb: "Pause", isBad: true };
  return (
    <button type="button" onClick={() => desk.ask({ ...question, act: () => say("pause") })}>
      Pause spending
    </button>
  );
}
