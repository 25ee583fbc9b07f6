/** Asks the gateway, as whoever came in with a link of `mimir web`. */
import type { OpenedSession, Problem } from "./types";

/**
 * Half of what opens the gateway; the other half is a cookie. A cookie goes to every port of its host, also to
 * what runs in a frame, so it opens nothing alone. This half is kept by origin, and the port is a part of that.
 */
const KEPT = "mimir.page";
const HEADER = "mimir-page";
/** An answer takes no longer. */
const PATIENCE_MS = 30_000;

/** The gateway said no, or nothing. */
export class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.title);
  }

  /** Whether whoever asks must come in again. */
  get isStranger(): boolean {
    return this.problem.status === 401;
  }
}

/** A problem in one line: what failed, why, what to type. */
export function wordsOf(error: unknown): string {
  if (!(error instanceof Refused)) return String(error);
  const { title, detail, hint } = error.problem;
  return [title, detail, hint].filter((part) => part !== null && part !== undefined && part !== "").join(": ");
}

function headers(half: string | null, more: Record<string, string>): Record<string, string> {
  return half === null ? more : { ...more, [HEADER]: half };
}

function kept(): string | null {
  return localStorage.getItem(KEPT);
}

/** Whether somebody came in here before. */
export function isKnown(): boolean {
  return kept() !== null;
}

/** What to do about somebody whose time is over; set by the page. */
let onStranger: () => void = () => {};
export function whenStranger(act: () => void): void {
  onStranger = act;
}

/** Calls `act` when another tab came in or left. */
export function whenElsewhere(act: () => void): void {
  // Without a key everything was removed.
  window.addEventListener("storage", ({ key }) => {
    if (key === null || key === KEPT) act();
  });
}

/** Forgets that half, and none that came after it; says whether nobody is known now. */
function forget(half: string | null): boolean {
  if (kept() === half) localStorage.removeItem(KEPT);
  return kept() === null;
}

async function ask(
  method: string,
  path: string,
  body: unknown,
  more: Record<string, string>,
  half: string | null = kept(),
): Promise<Response> {
  const init: RequestInit = {
    method,
    headers: headers(half, body === undefined ? more : { ...more, "content-type": "application/json" }),
    credentials: "same-origin",
    cache: "no-store",
    redirect: "error",
    signal: AbortSignal.timeout(PATIENCE_MS),
  };
  if (body !== undefined) init.body = JSON.stringify(body);
  let answer: Response;
  try {
    answer = await fetch(path, init);
  } catch (error) {
    const why = error instanceof DOMException && error.name === "TimeoutError" ? "it took too long" : "nobody answers";
    throw new Refused({ code: "web.unreachable", status: 0, title: `the gateway cannot be reached: ${why}` });
  }
  if (answer.ok) return answer;
  throw await refusal(answer, half);
}

async function refusal(answer: Response, half: string | null): Promise<Refused> {
  let problem: Problem = { code: "web.unknown", status: answer.status, title: `the gateway answered ${answer.status}` };
  try {
    problem = { ...problem, ...((await answer.json()) as Problem) };
  } catch {
    // What is no problem's JSON has its status alone.
  }
  const refused = new Refused(problem);
  // A late answer to what was asked before somebody came in anew says nothing about now.
  if (refused.isStranger && forget(half)) onStranger();
  return refused;
}

/** Reads something. */
export async function get<T>(path: string): Promise<T> {
  return (await (await ask("GET", path, undefined, {})).json()) as T;
}

/** Changes something. */
export async function post<T>(path: string, body?: unknown, more: Record<string, string> = {}): Promise<T> {
  return (await (await ask("POST", path, body, more)).json()) as T;
}

/** Takes something away. */
export async function remove<T>(path: string): Promise<T> {
  return (await (await ask("DELETE", path, undefined, {})).json()) as T;
}

/** An event stream from a position on; it lasts until `signal` ends it. */
export async function stream(path: string, after: number | null, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  const more: Record<string, string> = after === null ? {} : { "last-event-id": String(after) };
  const half = kept();
  const answer = await fetch(path, {
    headers: headers(half, { accept: "text/event-stream", ...more }),
    credentials: "same-origin",
    cache: "no-store",
    redirect: "error",
    signal,
  });
  if (!answer.ok) throw await refusal(answer, half);
  if (answer.body === null) throw new Error("an empty stream");
  return answer.body;
}

/** Comes in with the code of a link, which is worth nothing afterwards. A code that opens nothing changes nothing. */
export async function comeIn(code: string): Promise<void> {
  // The gateway ends the session that this browser has, when another one begins. A refusal says nothing about it.
  const answer = await ask("POST", "/v1/web/sessions", { code }, headers(kept(), {}), null);
  await keep(answer);
}

/** Comes in with the password, and a code if one is asked for. A refusal changes nothing. */
export async function logIn(password: string, code: string): Promise<void> {
  const body = code === "" ? { password } : { password, code };
  await keep(await ask("POST", "/v1/web/login", body, headers(kept(), {}), null));
}

async function keep(answer: Response): Promise<void> {
  const opened = (await answer.json()) as OpenedSession;
  localStorage.setItem(KEPT, opened.page);
}

/** Ends the session, also at the gateway. When it fails, this browser has left and the session goes on. */
export async function leave(): Promise<void> {
  const half = kept();
  try {
    await ask("DELETE", "/v1/tokens/current", undefined, {}, half);
  } catch (error) {
    const isOver = error instanceof Refused && ["auth.revoked", "auth.expired"].includes(error.problem.code);
    if (!isOver) throw error;
  } finally {
    forget(half);
  }
}
