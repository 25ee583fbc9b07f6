/** What keys do, where nobody types. */
export const KEYS: [string, string][] = [
  ["j k ↓ ↑", "the next frame, the one before"],
  ["w", "the next agent that waits for you"],
  ["y A n", "allow what is asked once, always, or deny it with a reason"],
  ["s", "write a message; Esc leaves it and keeps what you wrote"],
  ["b", "stop the turn"],
  ["1 2 3 4", "the frame's conversation, logs, events, usage"],
  ["t 5", "its terminal (with the scope `terminal`); Shift-Esc leaves it"],
  ["S X R P D", "start the frame, stop, restart, pause or resume, destroy it (with the scope `frames`)"],
  ["c f", "a new frame, search in all conversations"],
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
