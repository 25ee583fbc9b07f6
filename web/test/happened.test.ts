import assert from "node:assert/strict";
import { test } from "node:test";
import { Doing } from "../src/doing";
import { Happened, type Wanted, summary } from "../src/happened";
import type { Event } from "../src/types";

function event(id: number, kind: string, frame = "blog", data: Record<string, unknown> = {}): Event {
  return { id, at: id, kind, frame, data };
}

const all: Wanted = { frame: null, kind: "", letters: "" };
const ids = (happened: Happened, wanted = all) => happened.matching(wanted).map(({ id }) => id);

test("the newest stands first, once, and pieces of answers are not listed", () => {
  const happened = new Happened();
  for (const one of [event(3, "frame.moved"), event(4, "message.text"), event(5, "turn.ended"), event(5, "turn.ended")]) happened.add(one);
  assert.deepEqual(ids(happened), [5, 3]);
});

test("what is wanted is found by frame, kind and letters", () => {
  const happened = new Happened();
  happened.add(event(1, "frame.moved", "blog", { from: "running", to: "stopped" }));
  happened.add(event(2, "message.queued", "shop"));
  assert.deepEqual(ids(happened, { ...all, frame: "shop" }), [2]);
  assert.deepEqual(ids(happened, { ...all, kind: "frame." }), [1]);
  assert.deepEqual(ids(happened, { ...all, letters: " Stopped " }), [1]);
  assert.deepEqual(happened.families, ["frame.", "message."]);
});

test("looking back joins what is known, without a gap and without a double", () => {
  const happened = new Happened();
  happened.at(10);
  happened.at(11);
  assert.equal(happened.since, 10, "where it began");
  happened.add(event(11, "frame.moved"));
  happened.addOlder([event(9, "turn.ended"), event(8, "message.text"), event(7, "frame.note"), event(11, "frame.moved")], 5);
  assert.deepEqual(ids(happened), [11, 9, 7]);
  assert.equal(happened.since, 5);
  // Something was missed: what was before does not join what comes.
  happened.forget();
  happened.at(50);
  assert.deepEqual([ids(happened), happened.since], [[], 50]);
});

test("only so many are kept, and looking back begins where they do", () => {
  const happened = new Happened();
  happened.at(0);
  for (let id = 1; id <= 1200; id += 1) happened.add(event(id, "turn.ended"));
  assert.equal(happened.events.length, 1000);
  assert.deepEqual([happened.events[0]?.id, happened.since], [201, 200]);
});

test("an event's data is told in a line, without what is no word", () => {
  assert.equal(summary({ from: "running", to: "stopped", reason: "", nested: { a: 1 }, none: null, count: 2 }), "from running · to stopped · count 2");
  assert.ok(summary({ text: "x".repeat(10_000) }).length <= 300);
});

test("what an agent does is told until it is done", () => {
  const doing = new Doing();
  const tool = (status: string, input: unknown = null) => event(1, "message.tool", "blog", { tool: "bash", status, input });
  assert.equal(doing.note(tool("running", { command: "make" })), true);
  // Later events may lack the argument.
  doing.note(tool("running"));
  assert.equal(doing.get("blog"), "bash make");
  doing.note(tool("completed"));
  assert.equal(doing.has("blog"), false);
  doing.note(tool("running", { command: "make" }));
  assert.equal(doing.note(event(2, "turn.ended")), false);
  assert.equal(doing.has("blog"), false);
});
