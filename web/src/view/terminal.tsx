/** A frame's terminal. What draws it (xterm.js) is fetched when one is opened. */
import "@xterm/xterm/css/xterm.css";
import type { ComponentChildren } from "preact";
import { useEffect, useReducer, useRef, useState } from "preact/hooks";
import type { Desk } from "../desk";
import { post, wordsOf } from "../gateway";
import { TOUCH_KEYS, touched, typed, withCtrl } from "../terminal/keys";
import { Line, type LineState } from "../terminal/line";
import type { Frame } from "../types";
import { line as oneLine } from "../visible";
import { Share } from "./share";

type ScreenModule = typeof import("../terminal/screen");
type Screen = InstanceType<ScreenModule["Screen"]>;

let loading: Promise<ScreenModule> | null = null;

/** The page names the file; nothing of it is loaded before. */
function load(): Promise<ScreenModule> {
  const place = document.querySelector<HTMLMetaElement>('meta[name="mimir-terminal"]')?.content ?? "";
  loading ??= import(/* @vite-ignore */ place) as Promise<ScreenModule>;
  loading.catch(() => {
    loading = null;
  });
  return loading;
}

async function ticketFor(frame: string): Promise<string> {
  return (await post<{ ticket: string }>(`/v1/frames/${frame}/terminal/tickets`, {})).ticket;
}

export function TerminalTab({ desk, frame }: { desk: Desk; frame: Frame }) {
  const [window, setWindow] = useState("");
  if (desk.whoami !== null && !desk.may("terminal")) {
    return (
      <p class="fills faint note">
        This browser may not use terminals. <code>mimir web --scope read,send,approve,terminal</code> lets one in that may;{" "}
        <code>mimir frame attach {frame.name}</code> opens it in yours.
      </p>
    );
  }
  return (
    <section class="fills terminal" aria-label={`terminal of ${frame.name}`}>
      <TerminalShown
        key={`${frame.name} ${window}`}
        label={`terminal of ${frame.name}; Shift and Escape leave it`}
        ticket={() => ticketFor(frame.name)}
        window={window === "" ? null : window}
        readOnly={false}
      >
        <label>
          <span class="hidden">window</span>
          <select value={window} onChange={(event) => setWindow(event.currentTarget.value)}>
            <option value="">last window</option>
            <option value="agent">agent</option>
            <option value="shell">shell</option>
          </select>
        </label>
        <Share frame={frame.name} window={window === "" ? null : window} />
      </TerminalShown>
    </section>
  );
}

interface Shown {
  label: string;
  ticket: () => Promise<string>;
  window: string | null;
  readOnly: boolean;
  children?: ComponentChildren;
}

export function TerminalShown(wish: Shown) {
  const place = useRef<HTMLDivElement>(null);
  const open = useRef<{ screen: Screen; line: Line } | null>(null);
  const ctrl = useRef(false);
  const [failed, setFailed] = useState<string | null>(null);
  const [, draw] = useReducer<number, void>((count) => count + 1, 0);
  useEffect(() => {
    let isOver = false;
    const type = (text: string | Uint8Array<ArrayBuffer>) => {
      const isHeld = ctrl.current && typeof text === "string";
      if (isHeld) {
        ctrl.current = false;
        draw();
      }
      if (typeof text !== "string") open.current?.line.type(text);
      else open.current?.line.type(isHeld ? withCtrl(text) : typed(text));
    };
    load().then(
      (module) => {
        if (isOver || place.current === null) return;
        const { label, readOnly, ticket, window } = wish;
        const screen = new module.Screen({ place: place.current, readOnly, label, onInput: type, onSize: () => open.current?.line.resized() });
        open.current = { screen, line: new Line({ screen, ticket, window, readOnly, changed: () => draw() }) };
        screen.focus();
        draw();
      },
      (error: unknown) => setFailed(`what draws the terminal could not be loaded: ${String(error)}`),
    );
    return () => {
      isOver = true;
      open.current?.line.end();
      open.current?.screen.end();
      open.current = null;
    };
  }, []);
  const { line, screen } = open.current ?? { line: null, screen: null };
  const send = (text: string) => {
    line?.type(text);
    screen?.focus();
  };
  return (
    <>
      <div class="row tools">
        <State line={line} failed={failed} />
        {wish.children}
        <CopyPaste screen={screen} readOnly={wish.readOnly} onFailed={setFailed} />
      </div>
      <div class="screen" ref={place} />
      {!wish.readOnly && (
        <div class="touch" role="toolbar" aria-label="keys">
          <button
            type="button"
            aria-pressed={ctrl.current}
            onClick={() => {
              ctrl.current = !ctrl.current;
              screen?.focus();
              draw();
            }}
          >
            Ctrl
          </button>
          {TOUCH_KEYS.map((key) => (
            <button key={key.name} type="button" aria-label={key.label} onClick={() => send(touched(key, screen?.applicationCursor ?? false))}>
              {key.name}
            </button>
          ))}
        </div>
      )}
    </>
  );
}

const WORDS: Record<LineState, string> = {
  connecting: "connecting…",
  open: "",
  away: "The terminal is away; it comes back by itself.",
  closed: "The terminal is closed.",
  over: "This is over.",
};

function State({ line, failed }: { line: Line | null; failed: string | null }) {
  const state = line?.state ?? "connecting";
  const isBad = failed !== null || state === "away" || state === "over";
  const words = failed ?? [WORDS[state], state === "connecting" ? null : line?.why].filter((part) => part).join(" ");
  return (
    <p class={isBad ? "grow warn" : "grow faint"} role="status">
      {oneLine(words)}{" "}
      {state === "closed" && (
        <button type="button" onClick={() => line?.reopen()}>
          Open again
        </button>
      )}
    </p>
  );
}

function CopyPaste(props: { screen: Screen | null; readOnly: boolean; onFailed: (why: string) => void }) {
  const { screen, readOnly, onFailed } = props;
  // Browsers lend the clipboard on loopback and over TLS alone.
  const board = navigator.clipboard as Clipboard | undefined;
  const paste = async () => {
    try {
      screen?.paste((await board?.readText()) ?? "");
    } catch {
      onFailed("This browser does not lend its clipboard: paste with Ctrl+Shift+V.");
    }
    screen?.focus();
  };
  const copy = async () => {
    try {
      await board?.writeText(screen?.selection ?? "");
    } catch (error) {
      onFailed(wordsOf(error));
    }
  };
  if (board === undefined) return null;
  return (
    <>
      <button type="button" onClick={() => void copy()}>
        Copy
      </button>
      {!readOnly && (
        <button type="button" onClick={() => void paste()}>
          Paste
        </button>
      )}
    </>
  );
}
