import assert from "node:assert/strict";
import { test } from "node:test";
import { type Block, type Inline, blocks, inline, isSafe } from "../src/markdown";

function words(pieces: Inline[]): string {
  return pieces.map((piece) => ("text" in piece ? piece.text : words(piece.of))).join("");
}

function kinds(text: string): string[] {
  return blocks(text).map((block) => block.kind);
}

test("words keep their structure", () => {
  const text = "# Title\n\nOne **two** `three`.\n\n- a\n- b\n  - c\n\n```rust\nfn main() {}\n```\n\n> q\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n";
  assert.deepEqual(kinds(text), ["heading", "paragraph", "list", "code", "quote", "table", "rule"]);
  const [, paragraph, list, code] = blocks(text);
  assert.equal(paragraph?.kind === "paragraph" && words(paragraph.of), "One two three.");
  assert.equal(list?.kind === "list" && list.items.length, 2);
  assert.deepEqual(list?.kind === "list" && list.items[1]?.map((block: Block) => block.kind), ["paragraph", "list"]);
  assert.deepEqual(code, { kind: "code", language: "rust", text: "fn main() {}" });
});

test("a number begins a list where it says, and the rest of a line belongs to its item", () => {
  const [list] = blocks("3. three\n   more\n4. four\n\ntext");
  assert.ok(list?.kind === "list");
  assert.deepEqual([list.first, list.items.length], [3, 2]);
});

test("a fence that is not closed is code to the end, as while an answer is written", () => {
  assert.deepEqual(blocks("```sh\nls\n# no heading"), [{ kind: "code", language: "sh", text: "ls\n# no heading" }]);
});

test("HTML is text, and names with underscores are words", () => {
  const html = '<img src=x onerror="alert(1)"><script>alert(1)</script>';
  assert.equal(words(inline(html)), html);
  assert.ok(inline(html).every((piece) => piece.kind === "text"));
  assert.deepEqual(inline("snake_case_name and 2 * 3 * 4"), [{ kind: "text", text: "snake_case_name and 2 * 3 * 4" }]);
});

test("links lead to the web or to mail and nowhere else", () => {
  assert.equal(inline("[a](https://example.org/x_(y))")[0]?.kind, "link");
  assert.deepEqual(inline("see https://example.org/a."), [
    { kind: "text", text: "see " },
    { kind: "link", to: "https://example.org/a", of: [{ kind: "text", text: "https://example.org/a" }] },
    { kind: "text", text: "." },
  ]);
  for (const bad of ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "/v1/stop", "//evil.example", "vbscript:x", "blob:x"]) {
    assert.equal(isSafe(bad), false, bad);
    assert.equal(inline(`[a](${bad})`).some((piece) => piece.kind === "link"), false, bad);
  }
  assert.equal(inline("![track](https://evil.example/x.png)")[0]?.kind, "link", "pictures are not fetched");
});

test("no link lies within another, and none leads back to the gateway", () => {
  const [link] = inline("[see https://good.example/ or _https://good.example/_](https://evil.example/)");
  assert.ok(link?.kind === "link");
  assert.equal(link.to, "https://evil.example/");
  const hasLink = (pieces: Inline[]): boolean => pieces.some((piece) => piece.kind === "link" || ("of" in piece && hasLink(piece.of)));
  assert.equal(hasLink(link.of), false);
  assert.equal(hasLink(inline("[https://good.example/](javascript:alert(1))")), false);

  const here = { hostname: "127.0.0.1", port: "8080" };
  for (const own of ["http://127.0.0.1:8080/#code=00", "http://localhost:8080/", "http://[::1]:8080/", "HTTP://127.1:8080", "http://0:8080/"]) {
    assert.equal(isSafe(own, here), false, own);
  }
  for (const other of ["http://127.0.0.1:33001/", "http://example.org:8080/", "https://example.org/", "mailto:a@example.org"]) {
    assert.equal(isSafe(other, here), true, other);
  }
  Object.defineProperty(globalThis, "location", { value: here, configurable: true });
  try {
    assert.equal(hasLink(inline("http://127.0.0.1:8080/x and [x](http://127.0.0.1:8080/x)")), false);
    assert.equal(words(inline("http://127.0.0.1:8080/x")), "http://127.0.0.1:8080/x");
  } finally {
    Reflect.deleteProperty(globalThis, "location");
  }
});

test("no text takes long, whatever a stranger writes", () => {
  const seeds = ["*", "* a ", "_a", "`", "`a", "[", "[a](", "> ", "- ", "# ", "#  ", "```\n", "|-", "\n", "  \n", "- a\n\n\n", "https://.", "~~", "**a", "\\", "<https://", "``` x "];
  for (const seed of seeds) {
    const text = seed.repeat(Math.floor(150_000 / seed.length));
    const begun = process.cpuUsage().user;
    blocks(text);
    const took = (process.cpuUsage().user - begun) / 1000;
    // A square of the length would be minutes.
    assert.ok(took < 10_000, `${JSON.stringify(seed)} took ${took} ms`);
  }
});
