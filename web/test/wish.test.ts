import assert from "node:assert/strict";
import { test } from "node:test";
import { possible } from "../src/acts";
import type { Frame } from "../src/types";
import { EMPTY, bytesOf, isWrong, wishOf } from "../src/wish";

const form = { ...EMPTY, name: "blog", workspace: "/src/blog" };

test("a form becomes what the gateway takes, and says nothing that nobody wrote", () => {
  assert.deepEqual(wishOf(form), { name: "blog", start: true, workspace: "/src/blog" });
  const full = { ...form, place: "project" as const, project: "api", network: "sealed" as const, cpus: "1.5", memory: "4g", isThrowaway: true, hours: "0.5", starts: false };
  assert.deepEqual(wishOf(full), {
    name: "blog",
    start: false,
    project: "api",
    network: "sealed",
    cpus: 1.5,
    memory_bytes: 4 * 1024 ** 3,
    throwaway: true,
    ttl_seconds: 1800,
  });
});

test("what is wrong is said of its field", () => {
  const wrong = { name: "Blog", workspace: "src", cpus: "many", memory: "4", hours: "0" };
  for (const [field, value] of Object.entries(wrong)) {
    const made = wishOf({ ...form, isThrowaway: true, [field]: value });
    assert.ok(isWrong(made) && made.field === field, `${field}: ${JSON.stringify(made)}`);
  }
  const chosen = wishOf({ ...form, place: "project" });
  assert.ok(isWrong(chosen) && chosen.field === "project");
  assert.ok(isWrong(wishOf({ ...form, memory: "100m" })), "too little to live on");
});

test("memory is written with its unit", () => {
  assert.deepEqual(["512m", "1.5G", "2 GiB", "2gb", "x", "2t", ""].map(bytesOf), [512 * 1024 ** 2, 1.5 * 1024 ** 3, 2 * 1024 ** 3, 2 * 1024 ** 3, null, null, null]);
});

test("what can be done depends on the state, and a server elsewhere is left alone", () => {
  const frame = (state: string, engine = "podman") => possible({ state, engine } as Frame);
  assert.deepEqual(frame("running"), ["stop", "restart", "pause", "destroy"]);
  assert.deepEqual(frame("paused"), ["resume", "stop", "destroy"]);
  assert.deepEqual(frame("stopped"), ["start", "destroy"]);
  assert.deepEqual(frame("error"), ["start", "destroy"]);
  assert.deepEqual(frame("running", "external"), []);
});
