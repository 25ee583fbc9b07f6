import assert from "node:assert/strict";
import { test } from "node:test";
import { Taken, Typed } from "../src/terminal/flow";
import { TOUCH_KEYS, touched, typed, withCtrl } from "../src/terminal/keys";

const KIB = 1024;

test("output is acknowledged when it is drawn: little at once, much now and then", () => {
  const taken = new Taken();
  taken.came(5);
  assert.equal(taken.took(5), 5);
  taken.came(20 * KIB);
  taken.came(20 * KIB);
  taken.came(1);
  assert.equal(taken.took(20 * KIB), null, "not yet");
  assert.equal(taken.took(20 * KIB), 5 + 40 * KIB);
  assert.equal(taken.took(1), 6 + 40 * KIB, "all of it is drawn");
});

test("input waits for what was sent before it", () => {
  const typed = new Typed(64 * KIB);
  typed.add(new Uint8Array(100 * KIB));
  assert.equal(typed.next()?.length, 32 * KIB);
  assert.equal(typed.next()?.length, 32 * KIB);
  assert.equal(typed.next(), null);
  typed.acknowledged(32 * KIB);
  assert.equal(typed.next()?.length, 32 * KIB);
  assert.equal(typed.next(), null);
  typed.acknowledged(96 * KIB);
  assert.equal(typed.next()?.length, 4 * KIB);
  assert.equal(typed.next(), null, "there is no more");
});

test("nothing is typed before it is known how much may be", () => {
  const typed = new Typed(0);
  typed.add(new Uint8Array(1));
  assert.equal(typed.next(), null);
});

test("touch keys type what their names say", () => {
  const key = (name: string) => TOUCH_KEYS.find((one) => one.name === name);
  const [up, escape] = [key("↑"), key("Esc")];
  assert.ok(up !== undefined && escape !== undefined);
  assert.equal(touched(up, false), "\u001b[A");
  assert.equal(touched(up, true), "\u001bOA");
  assert.equal(touched(escape, true), "\u001b");
});

test("Ctrl makes control characters of what has one", () => {
  for (const [text, meant] of [["c", "\u0003"], ["C", "\u0003"], ["[", "\u001b"], [" ", "\u0000"], ["?", "\u007f"], ["1", "1"], ["ß", "ß"], ["", ""], ["cd", "\u0003d"]] as const) {
    assert.equal(withCtrl(text), meant, text);
  }
});

test("nothing that is pasted ends the paste before its end", () => {
  const [begins, ends] = ["\u001b[200~", "\u001b[201~"];
  assert.equal(typed(`${begins}ls${ends}rm -rf ~\r${ends}`), `${begins}ls[201~rm -rf ~\r${ends}`);
  assert.equal(typed(`${begins}a\u009b201~b${ends}`), `${begins}a201~b${ends}`);
  for (const text of ["", "a", "\u001b", "\u001b[A", `${begins}ä\r\tb${ends}`]) assert.equal(typed(text), text);
});
