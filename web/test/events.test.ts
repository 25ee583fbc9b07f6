import assert from "node:assert/strict";
import { test } from "node:test";
import { BlockReader } from "../src/events";

test("blocks are whole however the bytes come", () => {
  const text = 'retry: 1000\nid: 7\n\nid: 8\nevent: message.text\ndata: {"id":8,"x":"ü"}\n\n: still here\n\n';
  const bytes = new TextEncoder().encode(text);
  const reader = new BlockReader();
  const blocks = Array.from(bytes).flatMap((byte) => reader.read(Uint8Array.of(byte)));
  assert.deepEqual(blocks, [
    { id: 7, kind: null, data: null },
    { id: 8, kind: "message.text", data: '{"id":8,"x":"ü"}' },
    { id: null, kind: null, data: null },
  ]);
});
