import assert from "node:assert/strict";
import { test } from "node:test";
import { limitOf, nameOf, placeOf } from "../src/budget";

const limit = { scope: "home", subject: "", period: "day", dollars: "5" } as const;

test("a limit is written in dollars", () => {
  assert.deepEqual(limitOf(limit), { scope: "home", period: "day", limit_microusd: 5_000_000 });
  assert.deepEqual(limitOf({ ...limit, dollars: " 0,5 " }), { scope: "home", period: "day", limit_microusd: 500_000 });
  assert.deepEqual(limitOf({ ...limit, scope: "frame", subject: "blog", dollars: "0" }), { scope: "frame", period: "day", subject: "blog", limit_microusd: 0 });
  for (const wrong of ["", "-1", "five", "1e3", "5000000", "1.2.3"]) assert.equal(typeof limitOf({ ...limit, dollars: wrong }), "string", wrong);
  assert.equal(limitOf({ ...limit, scope: "project" }), "which project?");
});

test("a budget is named, and taken away, by whose it is and for which time", () => {
  assert.equal(nameOf({ scope: "home", period: "month" }), "home a month");
  assert.equal(nameOf({ scope: "frame", subject: "blog", period: "total" }), "frame blog in all");
  assert.equal(placeOf({ scope: "home", period: "day", subject: null }), "/v1/budgets?scope=home&period=day");
  assert.equal(placeOf({ scope: "frame", period: "total", subject: "a&b" }), "/v1/budgets?scope=frame&period=total&subject=a%26b");
});
