/**
 * Text of strangers (agents, models, file names) as people may be shown it: what is invisible becomes visible.
 * The same rules as crates/model/src/visible.rs; test/visible.test.ts holds the same examples.
 */

/** Cf, Zl, Zp, Co of Unicode, without the marks of Cf that are seen, and letters that are drawn as nothing. */
const INVISIBLE = /^(?:(?![\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2])\p{Cf}|[\p{Zl}\p{Zp}\p{Co}\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0])$/u;
const CONTROL = /^\p{Cc}$/u;

function isInvisible(char: string): boolean {
  return INVISIBLE.test(char);
}

function isControl(char: string): boolean {
  return CONTROL.test(char);
}

function escaped(char: string): string {
  return `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`;
}

/** Whether a character may have a joiner beside it: emoji and some scripts are not written without one. */
function joinable(char: string | undefined): boolean {
  return char !== undefined && (char.codePointAt(0) ?? 0) > 127 && !isControl(char) && !isInvisible(char);
}

function shown(text: string, keep: (char: string) => string | undefined): string {
  const chars = Array.from(text);
  return chars
    .map((char, at) => {
      const kept = keep(char);
      if (kept !== undefined) return kept;
      if (!isInvisible(char)) return char;
      const joins = (char === "\u200c" || char === "\u200d") && joinable(chars[at - 1]) && joinable(chars[at + 1]);
      return joins ? char : escaped(char);
    })
    .join("");
}

/** One line: control characters become spaces, invisible ones are written as `\u{202e}`. */
export function line(text: string): string {
  return shown(text, (char) => (isControl(char) ? " " : undefined));
}

/** Prose of several lines: lines and tabs stay, other control characters are dropped, invisible ones are written out. */
export function prose(text: string): string {
  const kept = Array.from(text).filter((char) => char === "\n" || char === "\t" || !isControl(char));
  return shown(kept.join(""), (char) => (char === "\n" || char === "\t" ? char : undefined));
}

/** What somebody decides upon: every character that does something unseen is written out. Lines and tabs stay. */
export function exact(text: string): string {
  return Array.from(text)
    .map((char) => {
      if (char === "\n" || char === "\t") return char;
      return isControl(char) || isInvisible(char) ? escaped(char) : char;
    })
    .join("");
}
