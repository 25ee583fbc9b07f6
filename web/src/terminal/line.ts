/** A line to a frame's terminal: it comes back by itself after the network was away, and the frame's tmux draws anew. */
import { Refused, wordsOf } from "../gateway";
import { Taken, Typed } from "./flow";
import type { FromGateway, ToGateway } from "./messages";

/** `away` comes back by itself, `closed` when somebody says so, `over` never. */
export type LineState = "connecting" | "open" | "away" | "closed" | "over";

/** Where a line leads: what draws its output. */
export interface Screenlike {
  readonly size: { columns: number; rows: number };
  /** Draws output; `taken` is called when it is drawn. */
  write(bytes: Uint8Array, taken: () => void): void;
  /** Forgets what is on it. */
  reset(): void;
}

export interface LineWish {
  screen: Screenlike;
  /** A new ticket for each connection, or the same secret of a shared link. */
  ticket: () => Promise<string>;
  window: string | null;
  readOnly: boolean;
  /** Called after every change. */
  changed: () => void;
}

const SLOWEST_MS = 10_000;
/** Whoever sleeps longer than this wakes up with a connection that is gone and does not know it. */
const SLEEP_MS = 20_000;
const LOOK_MS = 5_000;
/** A connection that says nothing for so long while it is made is none. */
const OPEN_WITHIN_MS = 15_000;
/** What is over with this connection, and not with the next one. */
const LOST = ["gateway.stopping"];

export class Line {
  state: LineState = "connecting";
  why: string | null = null;
  frame: string | null = null;
  expiresAt: number | null = null;

  #socket: WebSocket | null = null;
  #typed = new Typed(0);
  #tries = 0;
  #again: ReturnType<typeof setTimeout> | undefined;
  #opening: ReturnType<typeof setTimeout> | undefined;
  #stop = new AbortController();

  constructor(readonly wish: LineWish) {
    const { signal } = this.#stop;
    let seen = Date.now();
    const look = setInterval(() => {
      const slept = Date.now() - seen > SLEEP_MS;
      seen = Date.now();
      if (slept && this.state === "open") this.#lost("the machine slept");
    }, LOOK_MS);
    signal.addEventListener("abort", () => clearInterval(look));
    const soon = () => {
      if (this.state === "away" && document.visibilityState === "visible") this.#begin();
    };
    window.addEventListener("online", soon, { signal });
    document.addEventListener("visibilitychange", soon, { signal });
    this.#begin();
  }

  /** Types. What is typed while nobody hears it is nobody's. */
  type(text: string | Uint8Array<ArrayBuffer>): void {
    if (this.state !== "open" || this.wish.readOnly) return;
    this.#typed.add(typeof text === "string" ? new TextEncoder().encode(text) : text);
    this.#send();
  }

  /** The screen has a new size. */
  resized(): void {
    const { columns, rows } = this.wish.screen.size;
    if (this.state === "open") this.#say({ type: "resize", columns, rows });
  }

  /** Opens it again after it was closed. */
  reopen(): void {
    this.#tries = 0;
    this.#begin();
  }

  /** Ends it for good. */
  end(): void {
    this.#stop.abort();
    this.#drop();
    clearTimeout(this.#again);
  }

  #become(state: LineState, why: string | null): void {
    if (this.#stop.signal.aborted) return;
    [this.state, this.why] = [state, why];
    this.wish.changed();
  }

  #begin(): void {
    clearTimeout(this.#again);
    this.#drop();
    this.#become("connecting", this.why);
    this.wish.ticket().then(
      (ticket) => this.#connect(ticket),
      (error: unknown) => {
        // Nobody answered; whatever was answered does not change by asking again.
        const isAway = error instanceof Refused && (error.problem.status === 0 || error.problem.status >= 500);
        if (isAway) this.#lost(wordsOf(error));
        else this.#become("closed", wordsOf(error));
      },
    );
  }

  #connect(ticket: string): void {
    if (this.#stop.signal.aborted) return;
    this.#drop();
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/terminal`);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#opening = setTimeout(() => this.#lost("nobody answers"), OPEN_WITHIN_MS);
    const taken = new Taken();
    socket.onopen = () => this.#say({ type: "auth", ticket });
    socket.onclose = () => {
      if (this.#socket === socket && this.state !== "closed" && this.state !== "over") this.#lost("the connection broke");
    };
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (this.#socket !== socket) return;
      if (typeof data === "string") return this.#hear(JSON.parse(data) as FromGateway);
      taken.came(data.byteLength);
      this.wish.screen.write(new Uint8Array(data), () => {
        const bytes = taken.took(data.byteLength);
        if (bytes !== null && this.#socket === socket) this.#say({ type: "ack", bytes });
      });
    };
  }

  #hear(said: FromGateway): void {
    switch (said.type) {
      case "authenticated": {
        this.frame = said.frame;
        this.expiresAt = said.expires_at;
        this.#typed = new Typed(said.input_window_bytes);
        const { columns, rows } = this.wish.screen.size;
        const attach: ToGateway = { type: "attach", columns, rows, read_only: this.wish.readOnly };
        return this.#say(this.wish.window === null ? attach : { ...attach, window: this.wish.window });
      }
      case "attached":
        clearTimeout(this.#opening);
        this.#tries = 0;
        // What was there is drawn anew by whoever has it.
        this.wish.screen.reset();
        this.#become("open", null);
        return this.resized();
      case "input_ack":
        this.#typed.acknowledged(said.bytes);
        return this.#send();
      case "frame_event": {
        const { kind, data } = said.event;
        if (this.state === "closed" && kind === "frame.moved" && data["to"] === "running") this.reopen();
        return;
      }
      case "detached":
        return this.#become("closed", said.code === null || said.code === 0 ? "The terminal was closed." : `It ended with code ${said.code}.`);
      case "error": {
        const { code } = said.problem;
        const words = wordsOf(new Refused(said.problem));
        clearTimeout(this.#opening);
        if (code === "terminal.read_only") return;
        // A ticket that came too late is another one the next time; a shared link is not.
        const isLate = code === "terminal.ticket" && !this.wish.readOnly;
        if (LOST.includes(code) || isLate) return this.#lost(words);
        this.#become(code === "terminal.over" || code === "terminal.ticket" ? "over" : "closed", words);
      }
    }
  }

  #lost(why: string): void {
    this.#drop();
    this.#become("away", why);
    const waits = Math.min(SLOWEST_MS, 500 * 2 ** this.#tries);
    this.#tries += 1;
    clearTimeout(this.#again);
    if (!this.#stop.signal.aborted) this.#again = setTimeout(() => this.#begin(), waits);
  }

  #drop(): void {
    clearTimeout(this.#opening);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #say(message: ToGateway): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #send(): void {
    for (let next = this.#typed.next(); next !== null; next = this.#typed.next()) {
      if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(next);
    }
  }
}
