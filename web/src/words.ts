/** Amounts and times for people, as the command line writes them. */
import type { Frame, StatusWord } from "./types";

/** Millionths of a US dollar. */
export function money(microusd: number): string {
  const dollars = microusd / 1_000_000;
  if (microusd > 0 && dollars < 0.01) return "<$0.01";
  return `$${dollars.toFixed(2)}`;
}

/** How long ago. */
export function age(at: number, now: number): string {
  const seconds = Math.max(0, Math.floor((now - at) / 1000));
  if (seconds < 60) return "now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** How long until then. */
export function left(at: number, now: number): string {
  const seconds = Math.max(0, Math.ceil((at - now) / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.ceil(seconds / 60)} min`;
  return `${Math.ceil(seconds / 3600)} h`;
}

/** A state is never told by colour alone: each word has a sign. */
const SIGNS: Record<StatusWord, string> = {
  starting: "◔",
  idle: "○",
  busy: "●",
  waiting: "◆",
  queued: "◌",
  retrying: "↻",
  wedged: "▲",
  error: "✖",
  paused: "‖",
  stopped: "□",
};

export function sign(word: StatusWord): string {
  return SIGNS[word] ?? "·";
}

/** What the agent does; what it waits for counts before everything else. */
export function wordOf(frame: Frame, asked: number): StatusWord {
  return asked > 0 ? "waiting" : (frame.status?.word ?? "stopped");
}

/** Bytes, in units of 1024. */
export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = count < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(count) / 10));
  const value = count / 1024 ** power;
  return `${value >= 100 || power === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[power] ?? "B"}`;
}

/** Many of something: 950, 12.3k, 4.5M. */
export function many(count: number): string {
  if (count < 1000) return String(Math.round(count));
  return count < 1_000_000 ? `${(count / 1000).toFixed(1)}k` : `${(count / 1_000_000).toFixed(1)}M`;
}

/** The time of day, here. */
export function clock(at: number): string {
  const time = new Date(at);
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}

/** The day and the time, here. */
export function dayAndClock(at: number): string {
  const time = new Date(at);
  const day = [time.getFullYear(), time.getMonth() + 1, time.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
  return `${day} ${clock(at).slice(0, 5)}`;
}
