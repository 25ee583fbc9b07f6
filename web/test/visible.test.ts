import assert from "node:assert/strict";
import { test } from "node:test";
import { exact, line, prose } from "../src/visible";

test("what turns the reading around is shown", () => {
  assert.equal(line("rm -rf \u202etxt.elif\u202c /"), "rm -rf \\u{202e}txt.elif\\u{202c} /");
  assert.equal(prose("one\u2066two\n\ufeffthree"), "one\\u{2066}two\n\\u{feff}three");
  assert.equal(exact("echo a\rrm -rf ~\n\u200b"), "echo a\\u{d}rm -rf ~\n\\u{200b}");
});

test("control characters do nothing", () => {
  assert.equal(line("a\x1b[2Jb\nc"), "a [2Jb c");
  assert.equal(prose("a\x1b[2Jb\tc\r\n"), "a[2Jb\tc\n");
  assert.equal(exact("\x1b]0;x\x07"), "\\u{1b}]0;x\\u{7}");
});

test("languages and emoji stay as they are", () => {
  const texts = ["Grüße, 世界", "👨\u200d👩\u200d👧 ❤\ufe0f", "می\u200cخواهم", "שלום", "\u0603١٢"];
  for (const text of texts) {
    assert.equal(line(text), text);
    assert.equal(prose(text), text);
  }
  assert.equal(line("pass\u200dword"), "pass\\u{200d}word", "not between Latin letters");
  assert.equal(exact("a👨\u200d👩"), "a👨\\u{200d}👩", "who decides sees everything");
});

test("blank letters and tags are not blank", () => {
  assert.equal(line("x\u3164=1\u{e0041}"), "x\\u{3164}=1\\u{e0041}");
  assert.equal(line("a\u2028b\ue000"), "a\\u{2028}b\\u{e000}");
});
