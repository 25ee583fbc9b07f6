/** Everything on one screen. */
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { act as actOn } from "../acts";
import { type Address, TABS, addressOf, frameAt, viewAt } from "../address";
import type { Desk } from "../desk";
import { leave } from "../gateway";
import { HELD, KEYS, isTyping } from "../keys";
import { line } from "../visible";
import { money } from "../words";
import { Asks } from "./dialog";
import { FrameShown } from "./frame";
import { Frames, matching } from "./frames";
import { Queue } from "./queue";
import { useDesk, useFocus } from "./use";
import { Links, NAMES, Shown } from "./views";

type Over = "queue" | "keys" | null;

export function App({ desk, onLeft }: { desk: Desk; onLeft: (failed: unknown) => void }) {
  useDesk(desk);
  const [letters, setLetters] = useState("");
  const [over, setOver] = useState<Over>(null);
  const [address, setAddress] = useState<Address>(() => addressOf(location.hash));
  useEffect(() => {
    const look = () => {
      const now = addressOf(location.hash);
      setAddress(now);
      if (now.kind === "frame") desk.choose(now.name, now.session);
      else desk.choose(null);
    };
    look();
    window.addEventListener("hashchange", look);
    return () => window.removeEventListener("hashchange", look);
  }, [desk]);
  // With the picture, not after it: what a key does is what the page shows.
  useLayoutEffect(() => {
    const press = (event: KeyboardEvent) => {
      // It is asked whether something is to be done; that is answered first.
      if (desk.question !== null) return;
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      if (event.repeat && !HELD.includes(event.key)) return;
      if (event.key === "Escape" && over !== null) return setOver(null);
      if (isTyping(event.target)) return;
      if (act(desk, event.key, letters, over, setOver)) event.preventDefault();
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  });
  const frame = desk.frame;
  const waits = desk.approvals.length;
  const place = address.kind === "view" ? NAMES[address.view] : frame?.name;
  useEffect(() => {
    document.title = [waits > 0 ? `(${waits}) ` : "", place === undefined ? "" : `${place} – `, "mimir"].join("");
  }, [waits, place]);
  return (
    <div class={frame === null && address.kind !== "view" ? "page" : "page has-chosen"}>
      <Bar desk={desk} address={address} onQueue={() => setOver("queue")} onKeys={() => setOver("keys")} onLeft={onLeft} />
      <Frames desk={desk} letters={letters} onFilter={setLetters} />
      {address.kind === "view" ? (
        <Shown desk={desk} view={address.view} id={address.id} />
      ) : frame === null ? (
        <main class="chosen none">
          <p class="faint">{desk.chosen === null ? "Choose a frame." : desk.isRead ? `There is no frame ${desk.chosen}.` : ""}</p>
        </main>
      ) : (
        <FrameShown desk={desk} frame={frame} tab={address.kind === "frame" ? address.tab : "talk"} />
      )}
      {desk.said !== null && (
        <p class={desk.said.isBad ? "said bad" : "said"} role={desk.said.isBad ? "alert" : "status"}>
          <span class="grow">{line(desk.said.text)}</span>
          <button type="button" onClick={() => desk.hush()}>
            Close
          </button>
        </p>
      )}
      {over === "queue" && <Queue desk={desk} onClose={() => setOver(null)} />}
      {over === "keys" && <Keys onClose={() => setOver(null)} />}
      {desk.question !== null && <Asks desk={desk} question={desk.question} />}
    </div>
  );
}

function Bar(props: { desk: Desk; address: Address; onQueue: () => void; onKeys: () => void; onLeft: (failed: unknown) => void }) {
  const { desk, address, onQueue, onKeys, onLeft } = props;
  const link = { new: "connecting…", up: "", away: "The gateway is away; it is asked again and again." }[desk.link];
  const out = () => {
    leave().then(() => onLeft(null), onLeft);
  };
  return (
    <header class="bar">
      <h1>mimir</h1>
      <p class={desk.link === "away" ? "link warn" : "link faint"} role="status">
        {desk.link === "away" && <span aria-hidden="true">▲ </span>}
        {link}
        {desk.link === "up" && desk.changing > 0 && "…"}
      </p>
      {desk.approvals.length > 0 && <span class="warn">◆ {desk.approvals.length} wait for you</span>}
      {desk.status !== null && <span title="spent today">{money(desk.status.cost_today_microusd)} today</span>}
      {desk.status?.spending_paused === true && <span class="warn">spending is paused</span>}
      <button type="button" onClick={onQueue}>
        Queue {desk.messages.length}
      </button>
      <button type="button" class="wide-only" onClick={onKeys}>
        Keys
      </button>
      <button type="button" onClick={out}>
        Leave
      </button>
      <Links shown={address.kind === "view" ? address.view : null} />
    </header>
  );
}

function Keys({ onClose }: { onClose: () => void }) {
  const close = useFocus<HTMLButtonElement>();
  return (
    <aside class="over" aria-label="keys">
      <div class="row">
        <h2 class="grow">Keys</h2>
        <button type="button" ref={close} onClick={onClose}>
          Close
        </button>
      </div>
      <table>
        <tbody>
          {KEYS.map(([keys, does]) => (
            <tr key={keys}>
              <th scope="row">
                <kbd>{keys}</kbd>
              </th>
              <td>{does}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </aside>
  );
}

/** Does what a key stands for; says whether it stands for anything. */
function act(desk: Desk, key: string, letters: string, over: Over, setOver: (over: Over) => void): boolean {
  const go = (name: string | undefined) => {
    if (name !== undefined) location.hash = frameAt(name);
  };
  const step = (by: number) => {
    const names = matching(desk.frames, letters).map((frame) => frame.name);
    const at = names.indexOf(desk.chosen ?? "");
    go(names[Math.min(names.length - 1, Math.max(0, at + by))]);
  };
  const answer = (what: string) => document.dispatchEvent(new CustomEvent("mimir:answer", { detail: what }));
  const acts: Record<string, () => void> = {
    j: () => step(1),
    k: () => step(-1),
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    w: () => {
      const waits = [...new Set(desk.approvals.map((approval) => approval.frame))];
      go(waits[(waits.indexOf(desk.chosen ?? "") + 1) % waits.length]);
    },
    y: () => answer("once"),
    A: () => answer("always"),
    n: () => answer("reject"),
    s: () => document.getElementById("message")?.focus(),
    "/": () => document.getElementById("filter")?.focus(),
    b: () => void desk.stopTurn(),
    S: () => actOn(desk, "start"),
    X: () => actOn(desk, "stop"),
    R: () => actOn(desk, "restart"),
    P: () => actOn(desk, desk.frame?.state === "paused" ? "resume" : "pause"),
    D: () => actOn(desk, "destroy"),
    t: () => {
      if (desk.chosen !== null) location.hash = frameAt(desk.chosen, "terminal");
    },
    c: () => void (location.hash = viewAt("new")),
    f: () => void (location.hash = viewAt("search")),
    q: () => setOver(over === "queue" ? null : "queue"),
    "?": () => setOver(over === "keys" ? null : "keys"),
  };
  TABS.forEach((tab, at) => {
    acts[String(at + 1)] = () => {
      if (desk.chosen !== null) location.hash = frameAt(desk.chosen, tab);
    };
  });
  const wanted = Object.hasOwn(acts, key) ? acts[key] : undefined;
  // What lies over the page hides what a key would change.
  if (wanted === undefined || (over !== null && key !== "q" && key !== "?")) return false;
  // The conversation scrolls by its own keys while it has the focus.
  if (key.startsWith("Arrow") && document.activeElement?.closest(".talk, .log, .scrolls, pre, .wide")) return false;
  wanted();
  return true;
}
