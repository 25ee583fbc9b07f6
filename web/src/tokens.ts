/** What is known of tokens. Pure. */
import type { Token } from "./types";

/** Whether it opens something now. */
export function isOpen(token: Token, now: number): boolean {
  return (token.revoked_at ?? null) === null && (token.expires_at ?? Infinity) > now;
}
