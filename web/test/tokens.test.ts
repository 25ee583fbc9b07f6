import assert from "node:assert/strict";
import { test } from "node:test";
import { isOpen } from "../src/tokens";
import type { Token } from "../src/types";

test("a token opens something until it is revoked or over", () => {
  const token = (more: object) => ({ name: "phone", created_at: 1, ...more }) as Token;
  assert.ok(isOpen(token({}), 10));
  assert.ok(isOpen(token({ expires_at: 11, revoked_at: null }), 10));
  assert.equal(isOpen(token({ expires_at: 10 }), 10), false);
  assert.equal(isOpen(token({ expires_at: 99, revoked_at: 5 }), 10), false);
});
