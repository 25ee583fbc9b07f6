/**
 * One frame's conversation as it is shown: what the gateway has of it, and what happens while somebody looks. Pure.
 *
 * The history is read again when a turn ends; until then the pieces that the events bring stand in `live`. Who
 * begins to look in the middle of a turn has not seen its first pieces: then the history is read again and again.
 * The same rules as crates/tui/src/conversation.rs.
 */
import type { Event, Message, SessionDetails, ToolStatus, Turn } from "./types";

/** A piece of the turn that goes on. */
export type Piece =
  | { kind: "text" | "reasoning"; part: string; text: string }
  | { kind: "tool"; call: string; tool: string; status: ToolStatus; title: string | null; input: unknown; output: string | null }
  | { kind: "retry"; text: string };

/** What is to be done about an event. */
export type Next = "nothing" | "redraw" | "read" | "read soon";

const ENDS = ["answered", "failed", "cancelled"];
const CHANGES = ["message.edited", "session.renamed", "session.removed", "session.taken_back", "session.restored"];
const PIECES = ["message.text", "message.reasoning", "message.rewritten", "message.tool", "message.retry"];

export class Conversation {
  session: SessionDetails | null = null;
  waiting: Message[] = [];
  isRead = false;
  /** How many turns were seen to end: whoever reads the history says it back to `read`. */
  ends = 0;
  #live: [number, Piece][] = [];
  #sawBegin = false;

  /** `wanted` is the conversation to show; the newest when absent. */
  constructor(
    readonly frame: string,
    readonly wanted: string | null = null,
  ) {}

  /** The pieces of the turn that goes on, when its begin was seen; they stay until the history has them. */
  get live(): Piece[] {
    return this.#live.map(([, piece]) => piece);
  }

  /** The turns, without the one that `live` tells. */
  get told(): Turn[] {
    const turns = this.session?.turns ?? [];
    const last = turns.at(-1);
    const isLive = this.#live.length > 0 && last?.role === "assistant" && (last.ended_at ?? null) === null;
    return isLive ? turns.slice(0, -1) : turns;
  }

  /** Takes in the history, as it was when `ends` turns had been seen to end. */
  read(details: SessionDetails | null, waiting: Message[], ends: number): void {
    if (this.session !== null && this.session.id !== details?.id) this.forgetLive();
    this.session = details;
    this.waiting = waiting;
    this.#live = this.#live.filter(([seen]) => seen >= ends);
    this.isRead = true;
  }

  /** Something may have been missed: what goes on is read from the history until its turn ends. */
  forgetLive(): void {
    this.#live = [];
    this.#sawBegin = false;
  }

  /** Takes in what happened. */
  hear(event: Event): Next {
    if (event.frame !== this.frame) return "nothing";
    const isShown = (event.session ?? null) === null || event.session === this.session?.id;
    const { kind, data } = event;
    if (kind === "message.queued" || kind === "session.created") return "read";
    if (!isShown) return "nothing";
    if (kind === "turn.started" || (kind === "message.state" && data["to"] === "sending")) {
      this.#sawBegin = true;
      return "read";
    }
    if (kind === "message.answered" || kind === "turn.ended") return this.#end();
    if (kind === "message.state") return ENDS.includes(String(data["to"])) ? this.#end() : "read";
    if (CHANGES.includes(kind)) return "read";
    if (!PIECES.includes(kind)) return "nothing";
    if (!this.#sawBegin) return "read soon";
    this.#live = this.#live.filter(([, piece]) => piece.kind !== "retry");
    this.#add(kind, data);
    return "redraw";
  }

  #end(): Next {
    this.ends += 1;
    this.#sawBegin = false;
    return "read";
  }

  #add(kind: string, data: Record<string, unknown>): void {
    const part = String(data["part"] ?? "");
    const known = this.live.find((piece) => (piece.kind === "text" || piece.kind === "reasoning") && piece.part === part);
    switch (kind) {
      case "message.text":
      case "message.reasoning": {
        const of = kind === "message.text" ? "text" : "reasoning";
        if (known?.kind === of) known.text += String(data["delta"]);
        else this.#push({ kind: of, part, text: String(data["delta"]) });
        return;
      }
      case "message.rewritten":
        if (known && "text" in known) known.text = String(data["text"]);
        else this.#push({ kind: "text", part, text: String(data["text"]) });
        return;
      case "message.tool":
        this.#addTool(data);
        return;
      case "message.retry":
        this.#push({ kind: "retry", text: `attempt ${String(data["attempt"])} comes: ${String(data["reason"])}` });
        return;
    }
  }

  #addTool(data: Record<string, unknown>): void {
    const words = (name: string) => (typeof data[name] === "string" ? data[name] : null);
    const call = String(data["call"]);
    const status = String(data["status"]) as ToolStatus;
    const known = this.live.find((piece) => piece.kind === "tool" && piece.call === call);
    if (known?.kind !== "tool") {
      const [title, output] = [words("title"), words("output")];
      this.#push({ kind: "tool", call, tool: String(data["tool"]), status, title, input: data["input"] ?? null, output });
      return;
    }
    known.status = status;
    known.title = words("title") ?? known.title;
    known.input = data["input"] ?? known.input;
    known.output = words("output") ?? known.output;
  }

  #push(piece: Piece): void {
    this.#live.push([this.ends, piece]);
  }
}

/** What a tool is called with, in a word: a command, a path, an address, what is looked for. */
export function argument(input: unknown): string | null {
  if (typeof input !== "object" || input === null) return null;
  for (const name of ["command", "filePath", "path", "url", "pattern", "query", "description"]) {
    const value = (input as Record<string, unknown>)[name];
    if (typeof value === "string" && value.trim() !== "") return value.trim();
  }
  return null;
}
