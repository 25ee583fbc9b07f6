/** What keys do, where nobody types. */
export const KEYS: [string, string][] = [
  ["j k ↓ ↑", "the next frame, the one before"],
  ["w", "the next agent that waits for you"],
  ["y A n", "allow what is asked once, always, or deny it with a reason"],
  ["s", "write a message; Esc leaves it and keeps what you wrote"],
  ["b", "stop the turn"],
  ["S X", "start the frame, stop it (with the scope `frames`)"],
  ["q", "the queue"],
  ["/", "only frames with these letters"],
  ["?", "these keys; Esc closes them"],
];

/** What goes on while a key is held. What any other would do next, nobody has read. */
export const HELD = ["j", "k", "ArrowDown", "ArrowUp"];

/** Whether a key that is pressed there belongs to what is written, or chosen, there. */
export function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(?:INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}
