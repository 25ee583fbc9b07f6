/** What the page knows, and what it does: reads, follows, changes. Views look at it and draw. */
import { Conversation, type Next } from "./conversation";
import { Doing } from "./doing";
import { follow, past } from "./events";
import { Refused, get, post, wordsOf } from "./gateway";
import { Happened } from "./happened";
import { Meter } from "./meter";
import type { Question } from "./question";
import type { AnswerApproval, Approval, Event, Frame, Message, Session, SessionDetails, Status, Whoami } from "./types";
import { Watched } from "./watched";

/** Whether the gateway is heard. */
export type Link = "new" | "up" | "away";

/** What was said last about a change, or about something that could not be read. */
export interface Said {
  text: string;
  isBad: boolean;
}

/** Several wishes to read one thing become one. */
const SOON_MS = 120;
const LATER_MS = 1000;
/** What no event tells of (costs, ages) is read so often while somebody looks. */
const ANYWAY_MS = 30_000;

/** Looking back, so many events are read at once. */
const BACK = 300;

export type Read = "frames" | "approvals" | "messages" | "status" | "talk";

export class Desk extends Watched {
  link: Link = "new";
  frames: Frame[] = [];
  isRead = false;
  /** Open ones, the oldest first. */
  approvals: Approval[] = [];
  /** Messages that wait or run, in the order in which they go. */
  messages: Message[] = [];
  status: Status | null = null;
  whoami: Whoami | null = null;
  said: Said | null = null;
  chosen: string | null = null;
  /** Of the chosen frame, the last used first. */
  sessions: Session[] = [];
  talk: Conversation | null = null;
  /** What agents were last seen doing, by frame. */
  doing = new Doing();
  /** Changes on their way. */
  changing = 0;
  /** What is asked before something is done. */
  question: Question | null = null;
  happened = new Happened();

  #meters = new Map<string, Meter>();

  #stop = new AbortController();
  #timers = new Map<Read, ReturnType<typeof setTimeout>>();

  /** Begins to read and to follow. */
  begin(): void {
    this.#readAll();
    void get<Whoami>("/v1/tokens/current").then((whoami) => {
      this.whoami = whoami;
      this.changed();
    }, this.#unread);
    void follow(
      {
        up: (again) => {
          this.link = "up";
          if (again) this.talk?.forgetLive();
          this.#readAll();
        },
        away: () => {
          this.link = "away";
          this.changed();
        },
        event: (event) => this.#hear(event),
        at: (position) => this.happened.at(position),
        gap: () => this.happened.forget(),
      },
      this.#stop.signal,
    );
    const again = setInterval(() => {
      if (document.visibilityState === "visible") this.#want("frames", "status");
    }, ANYWAY_MS);
    this.#stop.signal.addEventListener("abort", () => clearInterval(again));
  }

  /** Ends it. */
  end(): void {
    this.#stop.abort();
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  /** Whether this session may do that. */
  may(scope: Whoami["scopes"][number]): boolean {
    return this.whoami?.scopes.includes(scope) ?? false;
  }

  /** What the gateway calls this session. */
  get name(): string | null {
    return this.whoami?.principal.replace(/^token:/, "") ?? null;
  }

  /** The chosen frame. */
  get frame(): Frame | null {
    return this.frames.find((frame) => frame.name === this.chosen) ?? null;
  }

  /** What a frame's agent waits for, the oldest first. */
  askedBy(frame: string): Approval[] {
    return this.approvals.filter((approval) => approval.frame === frame);
  }

  /** Looks at another frame, or at one conversation of it. */
  choose(frame: string | null, session: string | null = null): void {
    if (frame === this.chosen && (session === null || session === this.talk?.wanted)) return;
    if (frame !== this.chosen) this.sessions = [];
    this.chosen = frame;
    this.talk = frame === null ? null : new Conversation(frame, session);
    this.changed();
    if (frame !== null) this.#want("talk");
  }

  /** Says something to whoever looks. */
  say(text: string, isBad: boolean): void {
    this.said = { text, isBad };
    this.changed();
  }

  /** Takes away what was said. */
  hush(): void {
    this.said = null;
    this.changed();
  }

  /** Sends a message into the conversation that is shown; says whether it was taken. */
  send(text: string): Promise<boolean> {
    const { chosen, talk } = this;
    if (chosen === null || talk === null) return Promise.resolve(false);
    const body = { frame: chosen, text, ...(talk.session === null ? {} : { session: talk.session.id }) };
    // Sent again after a broken connection it is the same message.
    const key = { "idempotency-key": crypto.randomUUID() };
    return this.change(async () => {
      try {
        await post<Message>("/v1/messages", body, key);
      } catch (error) {
        if (!(error instanceof Refused) || error.problem.status !== 0) throw error;
        await post<Message>("/v1/messages", body, key);
      }
    }, null, "talk", "messages", "frames");
  }

  /** Cancels a message that waits. */
  cancel(message: Message): Promise<boolean> {
    const path = `/v1/messages/${encodeURIComponent(message.id)}/cancel`;
    return this.change(() => post(path), "the message is cancelled", "talk", "messages");
  }

  /** Answers what is asked. */
  answer(approval: Approval, answer: AnswerApproval): Promise<boolean> {
    const path = `/v1/approvals/${encodeURIComponent(approval.id)}/answer`;
    return this.change(() => post(path, answer), null, "approvals", "frames");
  }

  /** Stops the turn that goes on. */
  stopTurn(): Promise<boolean> {
    const session = this.talk?.session;
    if (!session) return Promise.resolve(false);
    const path = `/v1/sessions/${encodeURIComponent(session.id)}/abort`;
    return this.change(() => post(path), "the turn is stopped", "talk", "frames");
  }

  /** Asks before something is done. */
  ask(question: Question | null): void {
    this.question = question;
    this.changed();
  }

  /** What a frame used while it was looked at. */
  meterOf(frame: string): Meter {
    const meter = this.#meters.get(frame) ?? new Meter();
    this.#meters.set(frame, meter);
    return meter;
  }

  /** Reads what happened before; says whether there may be more. */
  async readBack(): Promise<boolean> {
    const until = this.happened.since;
    if (until === null || until === 0) return false;
    const after = Math.max(0, until - BACK);
    try {
      const older = await past(after, until, this.#stop.signal);
      if (this.happened.since === until) this.happened.addOlder(older, after);
      this.changed();
      return after > 0 && older.length > 0;
    } catch (error) {
      this.#unread(error);
      return true;
    }
  }

  /** Does something, says what came of it, and reads what it changed; gives whether it went well. */
  async change(act: () => Promise<unknown>, done: string | null, ...reads: Read[]): Promise<boolean> {
    this.changing += 1;
    this.said = null;
    this.changed();
    try {
      await act();
      if (done !== null) this.said = { text: done, isBad: false };
      return true;
    } catch (error) {
      this.said = { text: wordsOf(error), isBad: true };
      return false;
    } finally {
      this.changing -= 1;
      this.changed();
      this.#want(...reads);
    }
  }

  #hear(event: Event): void {
    if (this.doing.note(event)) this.changed();
    this.happened.add(event);
    this.tell(event);
    const { kind } = event;
    if (kind === "prompt.asked" || kind === "prompt.answered") this.#want("approvals", "frames");
    else if (kind.startsWith("message.") && ["queued", "state", "edited", "answered"].includes(kind.slice(8))) {
      this.#want("messages", "frames", "status");
    } else if (!kind.startsWith("message.") && kind !== "position") this.#want("frames");
    const next: Next = this.talk?.hear(event) ?? "nothing";
    if (next === "read") this.#want("talk");
    if (next === "read soon") this.#wantIn(LATER_MS, "talk");
    if (next === "redraw") this.changed();
  }

  #readAll(): void {
    this.#want("frames", "approvals", "messages", "status", "talk");
  }

  #want(...reads: Read[]): void {
    for (const read of reads) this.#wantIn(SOON_MS, read);
  }

  /** What is wanted already is read once, and not later than it was wanted first. */
  #wantIn(ms: number, read: Read): void {
    if (this.#timers.has(read) || this.#stop.signal.aborted) return;
    const act = async () => {
      this.#timers.delete(read);
      try {
        await this.#read(read);
      } catch (error) {
        this.#unread(error);
      }
      this.changed();
    };
    this.#timers.set(read, setTimeout(() => void act(), ms));
  }

  async #read(read: Read): Promise<void> {
    switch (read) {
      case "frames": {
        const frames = await get<Frame[]>("/v1/frames");
        this.frames = frames.sort((a, b) => a.name.localeCompare(b.name));
        this.isRead = true;
        return;
      }
      case "approvals": {
        const open = (await get<Approval[]>("/v1/approvals")).filter((approval) => approval.state === "pending");
        this.approvals = open.sort((a, b) => a.asked_at - b.asked_at);
        return;
      }
      case "messages":
        this.messages = await get<Message[]>("/v1/messages?open=true");
        return;
      case "status":
        this.status = await get<Status>("/v1/status");
        return;
      case "talk":
        await this.#readTalk();
    }
  }

  async #readTalk(): Promise<void> {
    const talk = this.talk;
    if (talk === null) return;
    const ends = talk.ends;
    const frame = encodeURIComponent(talk.frame);
    const [sessions, open] = await Promise.all([
      get<Session[]>(`/v1/sessions?frame=${frame}`),
      get<Message[]>(`/v1/messages?frame=${frame}&open=true`),
    ]);
    const newest = talk.wanted ?? sessions[0]?.id ?? null;
    const details = newest === null ? null : await get<SessionDetails>(`/v1/sessions/${encodeURIComponent(newest)}`);
    // Meanwhile somebody may look at another one.
    if (talk !== this.talk) return;
    this.sessions = sessions;
    const waiting = open.filter((message) => message.state === "queued" && (newest === null || message.session === newest));
    talk.read(details, waiting, ends);
  }

  #unread = (error: unknown): void => {
    // Whatever vanished while it was asked about shows in the lists; that nobody answers, in the first line.
    if (error instanceof Refused && [0, 401, 404].includes(error.problem.status)) return;
    this.say(wordsOf(error), true);
  };
}
