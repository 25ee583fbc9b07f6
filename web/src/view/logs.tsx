/** A frame's log as it is written. */
import { useEffect, useLayoutEffect, useReducer, useRef, useState } from "preact/hooks";
import type { Desk } from "../desk";
import { followLines, plain } from "../lines";
import type { Frame, LogLine } from "../types";
import { line } from "../visible";
import { clock } from "../words";

/** So many old lines are asked for. */
const TAIL = 500;
/** More are not kept; `mimir frame logs` has them. */
const MOST = 3000;
/** Nearer to the end than this, the end is followed. */
const NEAR = 60;

export function Logs({ desk, frame }: { desk: Desk; frame: Frame }) {
  const [letters, setLetters] = useState("");
  const [source, setSource] = useState("");
  const { lines, why, isRead } = useLog(desk, frame);
  const box = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  const wanted = letters.trim().toLowerCase();
  const sources = [...new Set(lines.map((one) => one.source))].sort();
  const shown = lines.filter((one) => (source === "" || one.source === source) && (wanted === "" || one.text.toLowerCase().includes(wanted)));
  useLayoutEffect(() => {
    const element = box.current;
    if (element !== null && follows.current) element.scrollTop = element.scrollHeight;
  });
  return (
    <section class="fills" aria-label="logs">
      <div class="row tools">
        <label class="grow">
          <span class="hidden">only lines with these letters</span>
          <input type="search" value={letters} placeholder="only lines with…" onInput={(event) => setLetters(event.currentTarget.value)} />
        </label>
        <label>
          <span class="hidden">from</span>
          <select value={source} onChange={(event) => setSource(event.currentTarget.value)}>
            <option value="">all of it</option>
            {sources.map((one) => (
              <option key={one} value={one}>
                {line(one)}
              </option>
            ))}
          </select>
        </label>
      </div>
      {why !== null && (
        <p class="warn" role="status">
          {line(why)}
        </p>
      )}
      <div
        class="log"
        ref={box}
        tabIndex={0}
        role="log"
        aria-label={`log of ${frame.name}`}
        onScroll={(event) => {
          const { scrollHeight, scrollTop, clientHeight } = event.currentTarget;
          follows.current = scrollHeight - scrollTop - clientHeight < NEAR;
        }}
      >
        {!isRead && <p class="faint">The log is being read…</p>}
        {isRead && shown.length === 0 && <p class="faint">No lines.</p>}
        {shown.map((one, at) => (
          <p key={at} class={one.source === "gateway" ? "line life" : "line"}>
            <time class="faint">{clock(one.at)}</time> <span class="faint">{line(one.source)}</span> {line(plain(one.text))}
          </p>
        ))}
      </div>
    </section>
  );
}

/** Follows the log while somebody looks. What comes within one picture is drawn at once. */
function useLog(desk: Desk, frame: Frame): { lines: LogLine[]; why: string | null; isRead: boolean } {
  const log = useRef<{ lines: LogLine[]; why: string | null; isRead: boolean }>({ lines: [], why: null, isRead: false });
  const [, draw] = useReducer<number, void>((count) => count + 1, 0);
  const runs = frame.state === "running" || frame.state === "starting" || frame.state === "paused";
  const isAway = desk.link === "away";
  useEffect(() => {
    if (isAway) return;
    const stop = new AbortController();
    let drawn = 0;
    const soon = () => {
      if (drawn !== 0) return;
      drawn = requestAnimationFrame(() => {
        drawn = 0;
        draw();
      });
    };
    const path = `/v1/frames/${encodeURIComponent(frame.name)}/logs?follow=true&tail=${TAIL}`;
    const listener = {
      // The old lines come again with each stream.
      begin: () => {
        log.current = { lines: [], why: null, isRead: true };
        soon();
      },
      lines: (lines: LogLine[]) => {
        log.current.lines = [...log.current.lines, ...lines].slice(-MOST);
        soon();
      },
      end: (why: string | null) => {
        log.current = { ...log.current, why, isRead: true };
        soon();
      },
    };
    void followLines<LogLine>(path, !runs, listener, stop.signal);
    return () => {
      stop.abort();
      cancelAnimationFrame(drawn);
    };
  }, [frame.name, runs, isAway]);
  return log.current;
}
