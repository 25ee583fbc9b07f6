/** How much is on its way, both ways. Counts are of a whole connection. Pure. */

/** One message of input is never larger. */
const LARGEST = 32 * 1024;
/** So much output is taken before it is acknowledged; what comes in small pieces is at once. */
const SOON = 32 * 1024;

/** Output that came and that is drawn. */
export class Taken {
  #came = 0;
  #taken = 0;
  #told = 0;

  came(bytes: number): void {
    this.#came += bytes;
  }

  /** So much more is drawn; what to acknowledge, when it is time to. */
  took(bytes: number): number | null {
    this.#taken += bytes;
    const isDone = this.#taken === this.#came;
    if (this.#taken === this.#told || (!isDone && this.#taken - this.#told < SOON)) return null;
    this.#told = this.#taken;
    return this.#taken;
  }
}

/** Input that waits until the gateway has taken what was sent before it. */
export class Typed {
  #waiting: Uint8Array<ArrayBuffer>[] = [];
  #sent = 0;
  #taken = 0;

  constructor(readonly window: number) {}

  add(bytes: Uint8Array<ArrayBuffer>): void {
    for (let at = 0; at < bytes.length; at += LARGEST) this.#waiting.push(bytes.subarray(at, at + LARGEST));
  }

  /** The gateway has taken everything up to there. */
  acknowledged(total: number): void {
    this.#taken = Math.max(this.#taken, total);
  }

  /** What may be sent now. */
  next(): Uint8Array<ArrayBuffer> | null {
    const [first] = this.#waiting;
    if (first === undefined || this.#sent + first.length - this.#taken > this.window) return null;
    this.#waiting.shift();
    this.#sent += first.length;
    return first;
  }
}
