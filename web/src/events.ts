/** The stream of events: read block by block, and begun again where it ended. */
import { stream } from "./gateway";
import type { Event } from "./types";

/** The gateway says something at least every 10 s; a stream that is silent for so long is dead. */
const SILENT_MS = 25_000;
/** Looking back takes no longer. */
const PAST_MS = 15_000;
const PAUSES_MS = [250, 500, 1000, 2000, 4000];

/** One block of a stream. */
export interface Block {
  id: number | null;
  kind: string | null;
  data: string | null;
}

/** Takes bytes, gives blocks. */
export class BlockReader {
  #decoder = new TextDecoder();
  #rest = "";

  /** The blocks that are whole now. */
  read(bytes: Uint8Array): Block[] {
    this.#rest += this.#decoder.decode(bytes, { stream: true });
    const pieces = this.#rest.split("\n\n");
    this.#rest = pieces.pop() ?? "";
    return pieces.map(blockOf);
  }
}

function blockOf(text: string): Block {
  const block: Block = { id: null, kind: null, data: null };
  for (const line of text.split("\n")) {
    const [, name, value] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
    if (name === "id" && /^\d+$/.test(value ?? "")) block.id = Number(value);
    if (name === "event") block.kind = value ?? null;
    if (name === "data") block.data = value ?? null;
  }
  return block;
}

/** What is heard. */
export interface Listener {
  /** The stream stands; `again` when something may have been missed. */
  up(again: boolean): void;
  /** It ended, and is begun again. */
  away(): void;
  /** Something happened. */
  event(event: Event): void;
  /** Everything up to there was told. */
  at(position: number): void;
  /** The position was too old: what happened meanwhile is not told. */
  gap(): void;
}

/** Follows events until `stop` ends it. */
export async function follow(listener: Listener, stop: AbortSignal): Promise<void> {
  let position: number | null = null;
  let failures = 0;
  while (!stop.aborted) {
    const cut = new AbortController();
    const end = () => cut.abort();
    stop.addEventListener("abort", end);
    let silence = setTimeout(end, SILENT_MS);
    try {
      const body = await stream("/v1/events", position, cut.signal);
      const blocks = new BlockReader();
      const bytes = body.getReader();
      let isUp = false;
      for (;;) {
        const { done, value } = await bytes.read();
        if (done) break;
        clearTimeout(silence);
        silence = setTimeout(end, SILENT_MS);
        const read = blocks.read(value);
        if (!isUp) {
          // What happened while nobody heard comes as events; what is on the page is read anew all the same.
          listener.up(position !== null);
          [isUp, failures] = [true, 0];
        }
        for (const block of read) {
          if (block.kind === "reset") {
            listener.gap();
            listener.up(true);
          } else if (block.data !== null) tell(listener, block.data);
          position = block.id ?? position;
          if (block.id !== null) listener.at(block.id);
        }
      }
    } catch {
      // Whoever is a stranger now has no page any more, and `stop` says so.
    } finally {
      clearTimeout(silence);
      stop.removeEventListener("abort", end);
      cut.abort();
    }
    if (stop.aborted) return;
    listener.away();
    await pause(PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)] ?? 1000, stop);
    failures += 1;
  }
}

function tell(listener: Listener, data: string): void {
  const event = eventOf(data);
  if (event !== null) listener.event(event);
}

function eventOf(data: string): Event | null {
  try {
    return JSON.parse(data) as Event;
  } catch {
    return null;
  }
}

/** What happened between two positions. Of what is too old to be kept nothing comes. */
export async function past(after: number, until: number, stop: AbortSignal): Promise<Event[]> {
  const cut = new AbortController();
  const signal = AbortSignal.any([stop, cut.signal, AbortSignal.timeout(PAST_MS)]);
  try {
    const bytes = (await stream(`/v1/events?after=${after}`, null, signal)).getReader();
    const blocks = new BlockReader();
    const found: Event[] = [];
    for (;;) {
      const { done, value } = await bytes.read();
      if (done) return found;
      for (const { id, kind, data } of blocks.read(value)) {
        // The position is older than the oldest one that is kept; from 0 on all comes that there is.
        if (kind === "reset") return after === 0 ? found : await past(0, until, stop);
        const event = data === null ? null : eventOf(data);
        if (event !== null && event.id > after && event.id <= until) found.push(event);
        if (id !== null && id >= until) return found;
      }
    }
  } finally {
    cut.abort();
  }
}

/** Waits, or until the page is looked at again, or the network is back. */
function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      window.removeEventListener("online", over);
      document.removeEventListener("visibilitychange", over);
      stop.removeEventListener("abort", over);
      resolve();
    };
    const timer = setTimeout(over, ms);
    window.addEventListener("online", over);
    document.addEventListener("visibilitychange", over);
    stop.addEventListener("abort", over);
  });
}
