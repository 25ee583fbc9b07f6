import assert from "node:assert/strict";
import { test } from "node:test";
import { Meter, addedUp, usedBy } from "../src/meter";
import { HEIGHT, WIDTH, byDay, ceiling, ceilingOfBytes, path } from "../src/plot";
import type { FrameStats, Turn } from "../src/types";
import { bytes, many } from "../src/words";

test("an hour of looks is kept", () => {
  const meter = new Meter();
  const stats = { cpu_cores: 0.5, memory_bytes: 1024, memory_limit_bytes: 4096, pids: 3, home_bytes: 9, cpu_ms: 1, frame: "blog" };
  for (let at = 0; at < 1000; at += 1) meter.add({ ...stats, pids: at } as FrameStats, at * 5000);
  assert.equal(meter.samples.length, 720);
  assert.deepEqual(meter.points("processes").at(-1), [999 * 5000, 999]);
  assert.deepEqual([meter.limit, meter.home], [4096, 9]);
});

test("what answers used is added up, and who asked used nothing", () => {
  const tokens = { input: 100, output: 10, reasoning: 5, cache_read: 50, cache_write: 1 };
  const turns = [
    { role: "user", at: 1, text: "hi", tools: [] },
    { role: "assistant", at: 2, text: "a", tools: [], tokens, cost_microusd: 7, model: "demo/x" },
    { role: "assistant", at: 3, text: "b", tools: [] },
    { role: "assistant", at: 4, text: "c", tools: [], tokens, cost_microusd: 3 },
  ] as unknown as Turn[];
  const used = usedBy(turns);
  assert.deepEqual(used[0], { at: 2, model: "demo/x", input: 101, output: 15, cached: 50, cost: 7 });
  assert.deepEqual(addedUp(used, (one) => one.cost), [[2, 7], [4, 10]]);
});

test("a line goes from edge to edge and is broken where nobody looked", () => {
  assert.equal(path([[0, 0], [10, 5], [20, 10]], 10, 15), `M0.0 ${HEIGHT}.0L${WIDTH / 2}.0 ${HEIGHT / 2}.0L${WIDTH}.0 0.0`);
  assert.equal(path([[0, 0], [10, 5], [40, 10]], 10, 15).match(/M/g)?.length, 2);
  assert.equal(path([[5, 1]], 1, 15), "M0.0 0.0h0.1");
  assert.equal(path([], 1, 15), "");
  assert.ok(!path([[0, 99], [1, -1]], 10, 15).includes("-"), "nothing leaves the picture");
});

test("the top of a graph is a round number that nothing reaches over", () => {
  for (const [value, top] of [[0, 1], [0.03, 0.05], [1, 1], [1.2, 2], [4, 5], [7, 10], [51, 100]] as const) {
    assert.ok(Math.abs(ceiling(value) - top) < 1e-9, `${value}: ${ceiling(value)}`);
  }
  assert.deepEqual([ceilingOfBytes(0), ceilingOfBytes(1025), ceilingOfBytes(4096)], [1, 2048, 4096]);
});

test("days without anything have a bar too, in their order", () => {
  const today = Date.UTC(2026, 2, 1, 12);
  const bars = byDay([{ name: "2026-03-01", value: 3 }, { name: "2026-02-27", value: 1 }, { name: "2025-01-01", value: 9 }], 3, today);
  assert.deepEqual(bars, [{ name: "2026-02-27", value: 1 }, { name: "2026-02-28", value: 0 }, { name: "2026-03-01", value: 3 }]);
});

test("amounts are written for people", () => {
  assert.deepEqual([0, 1023, 1536, 4 * 1024 ** 3, 123 * 1024 ** 2].map(bytes), ["0 B", "1023 B", "1.5 KiB", "4.0 GiB", "123 MiB"]);
  assert.deepEqual([950, 12_345, 4_500_000].map(many), ["950", "12.3k", "4.5M"]);
});
