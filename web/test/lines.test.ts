import assert from "node:assert/strict";
import { test } from "node:test";
import { LineReader, followLines, plain } from "../src/lines";

const bytes = (text: string) => new TextEncoder().encode(text);

test("lines are whole however the bytes come", () => {
  const reader = new LineReader();
  const read = Array.from(bytes('{"text":"ü"}\nnonsense\n{"text":"b"}\n{"te')).flatMap((byte) => reader.read(Uint8Array.of(byte)));
  assert.deepEqual(read, [{ text: "ü" }, { text: "b" }]);
});

test("colours of a terminal are no words", () => {
  assert.equal(plain("\u001b[1;32mok\u001b[0m done\r"), "ok done");
});

let heard: string[] = [];
const listener = {
  begin: () => void heard.push("begin"),
  lines: (lines: { text: string }[]) => void heard.push(...lines.map(({ text }) => text)),
  end: (why: string | null) => void heard.push(`end: ${why}`),
};

/** Answers one request after another, and nothing was heard yet. */
function answers(...all: (() => Response)[]): void {
  heard = [];
  Object.defineProperty(globalThis, "localStorage", { value: { getItem: () => "half" }, configurable: true });
  globalThis.fetch = () => {
    const next = all.shift();
    return next === undefined ? Promise.reject(new TypeError("no network")) : Promise.resolve(next());
  };
}

test("a log that is over is read once", async () => {
  answers(() => new Response('{"text":"a"}\n{"text":"b"}\n'));
  await followLines("/x", true, listener, new AbortController().signal);
  assert.deepEqual(heard, ["begin", "a", "b", "end: null"]);
});

test("a log that breaks off is begun anew, and what the gateway refuses is told once", async () => {
  const gone = { code: "frame.not_found", status: 404, title: "there is no frame x" };
  answers(
    () => new Response('{"text":"a"}\n{"problem":{"code":"engine.unreachable","status":503,"title":"the engine is away"}}\n'),
    () => new Response('{"text":"a"}\n'),
    () => new Response(JSON.stringify(gone), { status: 404 }),
  );
  await followLines("/x", false, listener, new AbortController().signal);
  assert.deepEqual(heard, ["begin", "a", "end: the engine is away", "begin", "a", "end: null", "end: there is no frame x"]);
});

test("whoever looks away hears nothing more", async () => {
  const stop = new AbortController();
  answers(() => {
    stop.abort();
    return new Response("");
  });
  await followLines("/x", false, listener, stop.signal);
  assert.deepEqual(heard.filter((one) => one !== "begin"), ["end: null"]);
});
