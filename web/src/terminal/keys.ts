/** Keys that phones do not have, and what they type. Pure. */

export interface TouchKey {
  name: string;
  /** In words, for whoever hears the page. */
  label: string;
  types: string;
}

export const TOUCH_KEYS: TouchKey[] = [
  { name: "Esc", label: "escape", types: "\u001b" },
  { name: "Tab", label: "tab", types: "\t" },
  { name: "←", label: "left", types: "D" },
  { name: "↓", label: "down", types: "B" },
  { name: "↑", label: "up", types: "A" },
  { name: "→", label: "right", types: "C" },
  { name: "^C", label: "interrupt", types: "\u0003" },
  { name: "PgUp", label: "page up", types: "\u001b[5~" },
  { name: "PgDn", label: "page down", types: "\u001b[6~" },
  { name: "^B", label: "tmux prefix", types: "\u0002" },
];

/** What a touch key types; programs may ask for other arrows (`CSI ? 1 h`). */
export function touched(key: TouchKey, applicationCursor: boolean): string {
  return /^[A-D]$/.test(key.types) ? `\u001b${applicationCursor ? "O" : "["}${key.types}` : key.types;
}

/** What a text means when Ctrl is held: its first character is the one that is meant. */
export function withCtrl(text: string): string {
  const [first = ""] = text;
  if (first === " ") return `\u0000${text.slice(1)}`;
  if (first === "?") return `\u007f${text.slice(1)}`;
  const upper = first.toUpperCase();
  const code = upper.charCodeAt(0);
  return upper.length === 1 && code >= 0x40 && code <= 0x5f ? String.fromCharCode(code & 0x1f) + text.slice(1) : text;
}

const PASTE_BEGINS = "\u001b[200~";
const PASTE_ENDS = "\u001b[201~";

/** A text as xterm.js types it. Of what was pasted nothing may end the paste: what follows would be typed as by hand. */
export function typed(text: string): string {
  const isPaste = text.startsWith(PASTE_BEGINS) && text.endsWith(PASTE_ENDS);
  if (!isPaste) return text;
  const pasted = text.slice(PASTE_BEGINS.length, -PASTE_ENDS.length);
  return PASTE_BEGINS + pasted.replaceAll("\u001b", "").replaceAll("\u009b", "") + PASTE_ENDS;
}
