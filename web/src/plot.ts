/** Where the points of a graph lie. Pure. */
import type { Point } from "./meter";

export const WIDTH = 600;
export const HEIGHT = 120;

/** A round number that is not below that one: 1, 2 or 5 with noughts. */
export function ceiling(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => step * power >= value * 0.999_999) ?? 10) * power;
}

/** The same for bytes: a power of two. */
export function ceilingOfBytes(value: number): number {
  return value > 1 ? 2 ** Math.ceil(Math.log2(value)) : 1;
}

/** The line through the points, from the first time to the last. Where nobody looked for longer than `gap` it is broken. */
export function path(points: Point[], most: number, gap: number): string {
  const [first, last] = [points[0]?.[0] ?? 0, points.at(-1)?.[0] ?? 0];
  const span = Math.max(1, last - first);
  let before = -Infinity;
  const parts = points.map(([at, value]) => {
    const x = ((at - first) / span) * WIDTH;
    const y = HEIGHT - Math.min(1, Math.max(0, value / most)) * HEIGHT;
    const command = at - before > gap ? "M" : "L";
    before = at;
    return `${command}${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  // A place alone is drawn as a dot.
  return parts.length === 1 ? `${parts[0] ?? ""}h0.1` : parts.join("");
}

/** A bar of a graph. */
export interface Bar {
  name: string;
  value: number;
}

/** One bar for each of the last days, also for those without anything. Days are those of UTC. */
export function byDay(known: Bar[], days: number, today: number): Bar[] {
  const values = new Map(known.map(({ name, value }) => [name, value]));
  return Array.from({ length: days }, (_, at) => {
    const name = new Date(today - (days - 1 - at) * 86_400_000).toISOString().slice(0, 10);
    return { name, value: values.get(name) ?? 0 };
  });
}
