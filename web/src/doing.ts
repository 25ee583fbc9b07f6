/** What agents were last seen doing, by frame. Pure. */
import { argument } from "./conversation";
import type { Event } from "./types";

const ENDS = ["message.answered", "turn.ended", "turn.started", "frame.moved", "frame.removed"];

export class Doing extends Map<string, string> {
  /** Takes in what happened; says whether something is to be drawn. */
  note({ frame, kind, data }: Event): boolean {
    if (!frame) return false;
    if (ENDS.includes(kind)) this.delete(frame);
    if (kind !== "message.tool") return false;
    if (data["status"] !== "running" && data["status"] !== "pending") {
      this.delete(frame);
      return true;
    }
    const tool = String(data["tool"]);
    const what = argument(data["input"]) ?? (typeof data["title"] === "string" ? data["title"] : "");
    // The first event has the argument, later ones may not.
    if (what !== "" || !this.get(frame)?.startsWith(tool)) this.set(frame, `${tool} ${what}`.trim().slice(0, 200));
    return true;
  }
}
