import assert from "node:assert/strict";
import { test } from "node:test";
import { Conversation } from "../src/conversation";
import type { Event, SessionDetails, Turn } from "../src/types";

function event(kind: string, data: Record<string, unknown> = {}, session = "ssn_1", frame = "blog"): Event {
  return { id: 1, at: 1, kind, frame, session, data };
}

function turn(role: string, text: string, over: boolean): Turn {
  return { role, text, at: 1, tools: [], ended_at: over ? 2 : null } as unknown as Turn;
}

function session(turns: Turn[], id = "ssn_1"): SessionDetails {
  return { id, frame: "blog", title: "t", message_count: 1, created_at: 1, last_active_at: 1, turns } as SessionDetails;
}

const sending = event("message.state", { to: "sending", reason: null });
const text = (delta: string, part = "p1") => event("message.text", { delta, part });

function told(talk: Conversation): string[] {
  return [...talk.told.map((one) => one.text), ...talk.live.map((one) => ("text" in one ? one.text : one.kind))];
}

test("a turn is told once while it runs and after it", () => {
  const talk = new Conversation("blog");
  talk.read(session([]), [], 0);
  assert.equal(talk.hear(sending), "read");
  talk.read(session([turn("user", "hi", true)]), [], talk.ends);
  assert.equal(talk.hear(text("do")), "redraw");
  assert.equal(talk.hear(text("ne")), "redraw");
  assert.deepEqual(told(talk), ["hi", "done"]);
  // Read in the middle: the history has some of it already.
  talk.read(session([turn("user", "hi", true), turn("assistant", "do", false)]), [], talk.ends);
  assert.deepEqual(told(talk), ["hi", "done"]);
  assert.equal(talk.hear(event("message.answered", { answer: "done" })), "read");
  talk.read(session([turn("user", "hi", true), turn("assistant", "done", true)]), [], talk.ends);
  assert.deepEqual(told(talk), ["hi", "done"]);
});

test("who looks in the middle of a turn reads it instead", () => {
  const talk = new Conversation("blog");
  talk.read(session([turn("user", "hi", true), turn("assistant", "do", false)]), [], 0);
  assert.equal(talk.hear(text("ne")), "read soon");
  assert.deepEqual(told(talk), ["hi", "do"]);
});

test("a history that was asked for before the next turn takes nothing of it away", () => {
  const talk = new Conversation("blog");
  talk.read(session([]), [], 0);
  talk.hear(sending);
  talk.hear(text("one"));
  talk.hear(event("message.answered", {}));
  const ends = talk.ends;
  talk.hear(sending);
  talk.hear(text("two", "p2"));
  talk.read(session([turn("assistant", "one", true)]), [], ends);
  assert.deepEqual(told(talk), ["one", "two"]);
});

test("a part that is written anew is told as it is now, and a tool once", () => {
  const talk = new Conversation("blog");
  talk.read(session([]), [], 0);
  talk.hear(sending);
  talk.hear(text("wrong"));
  talk.hear(event("message.rewritten", { part: "p1", text: "right" }));
  for (const status of ["running", "completed"]) {
    talk.hear(event("message.tool", { call: "c", tool: "bash", status, title: null, input: null, output: null }));
  }
  assert.deepEqual(told(talk), ["right", "tool"]);
  const tool = talk.live[1];
  assert.equal(tool?.kind === "tool" && tool.status, "completed");
});

test("what was missed in a gap shows once, and other conversations are not shown", () => {
  const talk = new Conversation("blog");
  talk.read(session([]), [], 0);
  talk.hear(sending);
  talk.hear(text("do"));
  assert.equal(talk.hear(event("message.text", { delta: "x", part: "p" }, "ssn_2")), "nothing");
  assert.equal(talk.hear(event("message.text", { delta: "x", part: "p" }, "ssn_1", "shop")), "nothing");
  talk.forgetLive();
  talk.read(session([turn("assistant", "done", true)]), [], talk.ends);
  assert.deepEqual(told(talk), ["done"]);
});
