import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Refused, comeIn, get, isKnown, leave, logIn, whenStranger } from "../src/gateway";

const KEPT = "mimir.page";
const store = new Map<string, string>();
/** The halves that requests carried. */
let carried: (string | null)[] = [];
let strangers = 0;

/** Answers requests so; `meanwhile` happens before. */
function answers(status: number, body: unknown, meanwhile: () => void = () => {}): void {
  globalThis.fetch = (_path, init) => {
    carried.push(new Headers(init?.headers).get("mimir-page"));
    meanwhile();
    return Promise.resolve(new Response(JSON.stringify(body), { status }));
  };
}

beforeEach(() => {
  const localStorage = {
    getItem: (key: string) => store.get(key) ?? null,
    setItem: (key: string, value: string) => void store.set(key, value),
    removeItem: (key: string) => void store.delete(key),
  };
  Object.defineProperty(globalThis, "localStorage", { value: localStorage, configurable: true });
  store.clear();
  store.set(KEPT, "old");
  [carried, strangers] = [[], 0];
  whenStranger(() => {
    strangers += 1;
  });
});

test("who comes in with a link that opens nothing stays who they were", async () => {
  for (const status of [404, 401]) {
    answers(status, { code: "web.code", status, title: "this link opens nothing" });
    await assert.rejects(comeIn("00"), Refused);
    assert.deepEqual([store.get(KEPT), strangers], ["old", 0]);
  }
  answers(201, { page: "new" });
  await comeIn("00");
  assert.equal(store.get(KEPT), "new");
  assert.deepEqual(carried, ["old", "old", "old"], "the gateway ends the session in whose place another begins");
});

test("a wrong password changes nothing, and a right one begins another session", async () => {
  for (const [status, code] of [[401, "login.refused"], [429, "login.too_soon"]] as const) {
    answers(status, { code, status, title: "no" });
    await assert.rejects(logIn("a lantern by the sea", ""), Refused);
    assert.deepEqual([store.get(KEPT), strangers], ["old", 0]);
  }
  answers(201, { page: "new" });
  await logIn("a lantern by the sea", "123456");
  assert.equal(store.get(KEPT), "new");
  store.clear();
  answers(201, { page: "first" });
  await logIn("a lantern by the sea", "");
  assert.deepEqual([store.get(KEPT), carried.at(-1)], ["first", null]);
});

test("a session that is over is forgotten, but not the one that began meanwhile", async () => {
  const over = { code: "auth.revoked", status: 401, title: "over" };
  answers(401, over, () => store.set(KEPT, "new"));
  await assert.rejects(get("/v1/frames"), Refused);
  assert.deepEqual([carried, store.get(KEPT), strangers], [["old"], "new", 0]);
  answers(401, over);
  await assert.rejects(get("/v1/frames"), Refused);
  assert.deepEqual([isKnown(), strangers], [false, 1]);
  // Another tab forgot it already: the page has to know all the same.
  await assert.rejects(get("/v1/frames"), Refused);
  assert.equal(strangers, 2);
});

test("whoever leaves has left this browser, and hears when the gateway did not end the session", async () => {
  answers(200, {});
  await leave();
  assert.equal(isKnown(), false);
  for (const code of ["auth.revoked", "auth.expired"]) {
    answers(401, { code, status: 401, title: "it was over before" });
    await leave();
  }
  for (const [status, code] of [[401, "auth.unknown_token"], [500, "internal"]] as const) {
    store.set(KEPT, "old");
    answers(status, { code, status, title: "no" });
    await assert.rejects(leave(), Refused);
    assert.equal(isKnown(), false);
  }
  store.set(KEPT, "old");
  globalThis.fetch = () => Promise.reject(new TypeError("no network"));
  await assert.rejects(leave(), Refused);
  assert.equal(isKnown(), false);
});
