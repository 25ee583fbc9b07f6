/** What can be done to the chosen frame. The usual thing is a button, the rest is folded. */
import { type Verb, act, nameOf, possible } from "../acts";
import type { Desk } from "../desk";
import type { Frame } from "../types";

/** Those that have a key, the same as in `mimir ui`. */
const KEYS: Partial<Record<Verb, string>> = { start: "S", stop: "X", restart: "R", pause: "P", resume: "P", destroy: "D" };

export function Actions({ desk, frame }: { desk: Desk; frame: Frame }) {
  const [first, ...others] = desk.may("frames") ? possible(frame) : [];
  if (first === undefined) return null;
  return (
    <>
      <Action desk={desk} verb={first} />
      <details
        class="more"
        onKeyDown={(event) => {
          if (event.key === "Escape") event.currentTarget.open = false;
        }}
      >
        <summary>More</summary>
        <div class="row">
          {others.map((verb) => (
            <Action key={verb} desk={desk} verb={verb} />
          ))}
        </div>
      </details>
    </>
  );
}

function Action({ desk, verb }: { desk: Desk; verb: Verb }) {
  return (
    <button type="button" class={verb === "destroy" ? "bad" : undefined} onClick={() => act(desk, verb)}>
      {nameOf(verb)} <kbd>{KEYS[verb]}</kbd>
    </button>
  );
}
