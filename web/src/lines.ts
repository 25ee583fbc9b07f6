/** Streams of one JSON object a line, such as a frame's log: read line by line, and begun again when they break off. */
import { Refused, stream, wordsOf } from "./gateway";
import type { Problem } from "./types";

const PAUSES_MS = [500, 1000, 2000, 5000, 10_000];

/** Takes bytes, gives objects. */
export class LineReader {
  #decoder = new TextDecoder();
  #rest = "";

  /** The lines that are whole now. What is no JSON is passed over. */
  read(bytes: Uint8Array): unknown[] {
    this.#rest += this.#decoder.decode(bytes, { stream: true });
    const lines = this.#rest.split("\n");
    this.#rest = lines.pop() ?? "";
    return lines.flatMap((line) => {
      try {
        return [JSON.parse(line) as unknown];
      } catch {
        return [];
      }
    });
  }
}

/** What is heard. */
export interface LineListener<T> {
  /** The stream stands; the old lines come again. */
  begin(): void;
  lines(lines: T[]): void;
  /** It is over for now. */
  end(why: string | null): void;
}

/** Follows such a stream until `stop` ends it, or, with `once`, until the stream does. */
export async function followLines<T>(path: string, once: boolean, listener: LineListener<T>, stop: AbortSignal): Promise<void> {
  let failures = 0;
  while (!stop.aborted) {
    let why: string | null = null;
    try {
      const bytes = (await stream(path, null, stop)).getReader();
      listener.begin();
      const reader = new LineReader();
      for (;;) {
        const { done, value } = await bytes.read();
        if (done) break;
        const [lines, problem] = sorted<T>(reader.read(value));
        if (lines.length > 0) {
          failures = 0;
          listener.lines(lines);
        }
        if (problem !== null) why = wordsOf(new Refused(problem));
      }
    } catch (error) {
      if (stop.aborted) return;
      why = error instanceof Refused ? wordsOf(error) : "the connection broke off";
      // Asked again it would say the same.
      if (error instanceof Refused && error.problem.status >= 400 && error.problem.status < 500) return listener.end(why);
    }
    listener.end(why);
    if (once && why === null) return;
    await pause(PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)] ?? 10_000, stop);
    failures += 1;
  }
}

/** A problem in the middle is the last line. */
function sorted<T>(read: unknown[]): [T[], Problem | null] {
  const isProblem = (one: unknown): one is { problem: Problem } => typeof one === "object" && one !== null && "problem" in one;
  return [read.filter((one) => !isProblem(one)) as T[], read.find(isProblem)?.problem ?? null];
}

function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      stop.removeEventListener("abort", over);
      resolve();
    };
    const timer = setTimeout(over, ms);
    stop.addEventListener("abort", over);
  });
}

/** A line of a log without the colours that it was printed with. */
export function plain(text: string): string {
  return text.replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, "").trimEnd();
}
