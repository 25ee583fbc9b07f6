/** What happened, as the page heard it: the newest events, without the pieces of answers. Pure. */
import type { Event } from "./types";

/** So many are kept. */
const MOST = 1000;
/** Pieces of an answer are the conversation's, and too many to be read one by one. */
const PIECES = ["message.text", "message.reasoning", "message.rewritten"];

/** Which of them are shown. */
export interface Wanted {
  frame: string | null;
  /** The beginning of the kind, such as `frame.`; all when empty. */
  kind: string;
  letters: string;
}

export class Happened {
  /** The oldest first. */
  events: Event[] = [];
  /** Everything after this position was heard; unknown until the stream says where it is. */
  since: number | null = null;

  /** The stream is there now. */
  at(position: number): void {
    this.since ??= position;
  }

  /** Takes in an event. One that is known already stays once. */
  add(event: Event): void {
    if (!isListed(event) || event.id <= (this.events.at(-1)?.id ?? 0)) return;
    this.events.push(event);
    if (this.events.length > MOST) this.#dropOldest();
  }

  /** Takes in what happened before, down to that position. */
  addOlder(events: Event[], since: number): void {
    const first = this.events[0]?.id ?? Infinity;
    const older = events.filter((event) => isListed(event) && event.id < first);
    this.events = [...older.sort((a, b) => a.id - b.id), ...this.events];
    this.since = since;
  }

  /** Events were missed: what was heard before the gap does not join what comes. */
  forget(): void {
    this.events = [];
    this.since = null;
  }

  /** Those that are wanted, the newest first. */
  matching({ frame, kind, letters }: Wanted): Event[] {
    const looked = letters.trim().toLowerCase();
    const has = (event: Event) => looked === "" || `${event.kind} ${event.frame ?? ""} ${summary(event.data)}`.toLowerCase().includes(looked);
    return this.events
      .filter((event) => (frame === null || event.frame === frame) && event.kind.startsWith(kind) && has(event))
      .reverse();
  }

  /** The beginnings of their kinds: `frame.`, `message.`, … */
  get families(): string[] {
    return [...new Set(this.events.map(({ kind }) => `${kind.split(".")[0] ?? kind}.`))].sort();
  }

  #dropOldest(): void {
    const dropped = this.events.splice(0, this.events.length - MOST).at(-1);
    if (dropped !== undefined) this.since = dropped.id;
  }
}

function isListed({ kind }: Event): boolean {
  return kind !== "position" && kind !== "reset" && !PIECES.includes(kind);
}

/** An event's data in a line: `from running · to stopped`. */
export function summary(data: Record<string, unknown>): string {
  const isShort = (value: unknown) => ["string", "number", "boolean"].includes(typeof value) && value !== "";
  const pairs = Object.entries(data ?? {}).filter(([, value]) => isShort(value));
  return pairs.map(([name, value]) => `${name} ${String(value).slice(0, 120)}`).join(" · ").slice(0, 300);
}
