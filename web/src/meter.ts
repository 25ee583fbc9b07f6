/** What a frame used while somebody looked, and what a conversation cost. The page's own history: the gateway keeps none. Pure. */
import type { FrameStats, Turn } from "./types";

/** An hour of it. */
const MOST = 720;

/** One look. */
export interface Sample {
  at: number;
  cores: number;
  memory: number;
  processes: number;
}

/** A value at a time. */
export type Point = [at: number, value: number];

export class Meter {
  samples: Sample[] = [];
  /** Bytes; 0 when nothing limits it. */
  limit = 0;
  /** Bytes of its home folder. */
  home = 0;

  /** Takes in what it uses now. */
  add(stats: FrameStats, at: number): void {
    this.limit = stats.memory_limit_bytes;
    this.home = stats.home_bytes;
    this.samples.push({ at, cores: stats.cpu_cores, memory: stats.memory_bytes, processes: stats.pids });
    if (this.samples.length > MOST) this.samples.splice(0, this.samples.length - MOST);
  }

  /** One of its values over time. */
  points(of: "cores" | "memory" | "processes"): Point[] {
    return this.samples.map((sample) => [sample.at, sample[of]]);
  }
}

/** What one answer used. */
export interface Used {
  at: number;
  model: string;
  input: number;
  output: number;
  cached: number;
  cost: number;
}

/** What the answers of a conversation used, the oldest first. */
export function usedBy(turns: Turn[]): Used[] {
  return turns
    .filter((turn) => turn.role === "assistant")
    .map(({ at, model, tokens, cost_microusd }) => ({
      at,
      model: model ?? "",
      input: (tokens?.input ?? 0) + (tokens?.cache_write ?? 0),
      output: (tokens?.output ?? 0) + (tokens?.reasoning ?? 0),
      cached: tokens?.cache_read ?? 0,
      cost: cost_microusd ?? 0,
    }))
    .filter((used) => used.input + used.output + used.cached + used.cost > 0);
}

/** The same, added up from answer to answer. */
export function addedUp(used: Used[], of: (one: Used) => number): Point[] {
  let sum = 0;
  return used.map((one) => [one.at, (sum += of(one))]);
}
