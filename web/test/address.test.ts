import assert from "node:assert/strict";
import { test } from "node:test";
import { TABS, VIEWS, addressOf, frameAt, viewAt } from "../src/address";

test("every address is read as what it was written for", () => {
  for (const tab of TABS) assert.deepEqual(addressOf(frameAt("blog", tab)), { kind: "frame", name: "blog", tab, session: null });
  assert.deepEqual(addressOf(frameAt("my-api-2", "talk", "ssn_1")), { kind: "frame", name: "my-api-2", tab: "talk", session: "ssn_1" });
  for (const view of VIEWS) assert.deepEqual(addressOf(viewAt(view)), { kind: "view", view, id: null });
  assert.deepEqual(addressOf(viewAt("runs", "run_01")), { kind: "view", view: "runs", id: "run_01" });
  assert.equal(frameAt("blog"), "#/blog", "as links were before there was more to see");
});

test("a frame may be called like a view, and what is no address is the list", () => {
  assert.deepEqual(addressOf("#/events"), { kind: "frame", name: "events", tab: "talk", session: null });
  for (const none of ["", "#", "#/", "#/Blog", "#/blog/nothing", "#view/", "#view/nothing", "#view/runs/a/b", "#code=00", "#/blog/logs/x y"]) {
    assert.deepEqual(addressOf(none), { kind: "home" }, none);
  }
});
