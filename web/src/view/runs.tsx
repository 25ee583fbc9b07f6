/** Runs of workflows: the list, and one of them with its timeline. */
import { useState } from "preact/hooks";
import { viewAt } from "../address";
import type { Desk } from "../desk";
import type { Event, Run } from "../types";
import { line } from "../visible";
import { age, money } from "../words";
import { useRead } from "./read";
import { RunShown } from "./run";
import { useNow } from "./use";

/** A state is never told by colour alone. */
const SIGNS: Record<Run["state"], string> = {
  queued: "◌",
  running: "●",
  waiting: "◔",
  held: "◆",
  succeeded: "✓",
  failed: "✖",
  cancelled: "□",
  superseded: "□",
};

/** The sign and the word of a run's state. */
export function stateWords(state: Run["state"]): string {
  return `${SIGNS[state] ?? "·"} ${state}`;
}

export const isOfRuns = (event: Event) => event.kind.startsWith("run.");

export function Runs({ desk, id }: { desk: Desk; id: string | null }) {
  return id === null ? <List desk={desk} /> : <RunShown key={id} desk={desk} id={id} />;
}

function List({ desk }: { desk: Desk }) {
  const now = useNow(30_000);
  const [isOpen, setOpen] = useState(false);
  const { value: runs, error } = useRead<Run[]>(desk, `/v1/runs?limit=100${isOpen ? "&open=true" : ""}`, isOfRuns);
  return (
    <>
      <div class="row tools">
        <label class="option">
          <input type="checkbox" checked={isOpen} onChange={(event) => setOpen(event.currentTarget.checked)} /> only what goes on
        </label>
      </div>
      <div class="scrolls fills">
        {error !== null && <p class="bad">{line(error)}</p>}
        {runs?.length === 0 && (
          <p class="faint">
            No runs. <code>mimir runs start</code>, webhooks and schedules begin them.
          </p>
        )}
        <ul class="plain-list">
          {(runs ?? []).map((run) => (
            <li key={run.id} class="card">
              <p>
                <span class={`word run-${run.state}`}>{stateWords(run.state)}</span> <a href={viewAt("runs", run.id)}>{line(run.title)}</a>
              </p>
              <p class="faint">
                {[run.workflow, run.project ?? "", run.stage, age(run.created_at, now), money(run.cost_microusd)].filter((part) => part !== "").map(line).join(" · ")}
              </p>
              {run.reason && <p>{line(run.reason)}</p>}
            </li>
          ))}
        </ul>
      </div>
    </>
  );
}
