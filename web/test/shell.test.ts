import assert from "node:assert/strict";
import { test } from "node:test";
import { workerOnly } from "../src/install";
import { how, isKept, named } from "../src/shell";

const HOME = "http://127.0.0.1:8080";

test("only the page and its files are kept; what the gateway says goes past", () => {
  assert.equal(how("GET", `${HOME}/`, "navigate", HOME), "page");
  assert.equal(how("GET", `${HOME}/#code=00`, "navigate", HOME), "page");
  assert.equal(how("GET", `${HOME}/assets/page-0a.js`, "cors", HOME), "file");
  for (const path of ["/v1/frames", "/v1/events", "/v1/web/sessions", "/health", "/?x=1", "/assets/", "/assets/../v1/frames", "/assets/a/b.js", "/assets/page.js?v=1"]) {
    assert.equal(how("GET", HOME + path, "navigate", HOME), "pass", path);
  }
  assert.equal(how("GET", `${HOME}/`, "cors", HOME), "pass", "only where somebody goes there");
  assert.equal(how("POST", `${HOME}/`, "navigate", HOME), "pass");
  assert.equal(how("GET", "http://127.0.0.1:33001/", "navigate", HOME), "pass", "another origin");
});

test("an answer is kept when it is whole, ours, and has the policy of the page", () => {
  const policy = { "content-security-policy": "default-src 'none'" };
  const answer = { status: 200, type: "basic", redirected: false, headers: new Headers(policy) };
  assert.ok(isKept(answer));
  for (const change of [{ status: 401 }, { type: "opaque" }, { redirected: true }, { headers: new Headers() }]) {
    assert.equal(isKept({ ...answer, ...change }), false, JSON.stringify(change));
  }
});

test("the files of a page are those that it names", () => {
  const page = '<link href="/assets/page-0a.css"><meta content="/assets/worker-0b.js"><script src="/assets/page-0c.js"></script><a href="/v1/x">';
  assert.deepEqual(named(page), ["/assets/page-0a.css", "/assets/worker-0b.js", "/assets/page-0c.js"]);
});

test("no other script's address is ever trusted", () => {
  const worker = `/assets/worker-${"0".repeat(16)}.js`;
  assert.equal(workerOnly(worker), worker);
  for (const other of ["/assets/worker.js", `https://evil.example${worker}`, `/${worker}`, `${worker}?x`, "data:text/javascript,1", `/assets/page-${"0".repeat(16)}.js`, `${worker}\n`]) {
    assert.throws(() => workerOnly(other), TypeError, other);
  }
});
