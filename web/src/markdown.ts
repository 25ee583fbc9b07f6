/**
 * The structure of an agent's words. Only what is told apart here is told apart on the page; everything else,
 * HTML included, is text. Pictures are not fetched: whoever writes their address would learn who reads.
 */

/** A piece of a line. */
export type Inline =
  | { kind: "text"; text: string }
  | { kind: "code"; text: string }
  | { kind: "strong" | "emphasis" | "struck"; of: Inline[] }
  | { kind: "link"; to: string; of: Inline[] };

/** A block. */
export type Block =
  | { kind: "paragraph"; of: Inline[] }
  | { kind: "heading"; level: number; of: Inline[] }
  | { kind: "code"; language: string; text: string }
  | { kind: "quote"; of: Block[] }
  | { kind: "list"; first: number | null; items: Block[][] }
  | { kind: "table"; head: Inline[][]; rows: Inline[][][] }
  | { kind: "rule" };

/** Deeper than this nothing is told apart. */
const DEEPEST = 8;

/** A longer text is not looked at: it is one block of plain text. */
const LONGEST = 200_000;
/** So far ahead the end of a mark is looked for, and so many ends are tried. Strangers write these texts. */
const AHEAD = 4096;
const TRIES = 16;

const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)$/;
const HEADING = /^ {0,3}(#{1,6})(?: (.*))?$/;
const RULE = /^ {0,3}(?:(?:-\s*){3,}|(?:\*\s*){3,}|(?:_\s*){3,})$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(?:( +)(.*))?$/;
const TABLE_LINE = /^ {0,3}\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

/** The blocks of a text. */
export function blocks(text: string, depth = 0): Block[] {
  if (text.length > LONGEST) return [{ kind: "code", language: "", text }];
  const lines = text.replaceAll("\t", "    ").split("\n");
  const found: Block[] = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at] ?? "";
    if (line.trim() === "") {
      at += 1;
      continue;
    }
    const fence = fenceOf(line);
    if (fence) {
      let until = at + 1;
      while (until < lines.length && !isEnd(lines[until] ?? "", fence.mark)) until += 1;
      found.push({ kind: "code", language: fence.language, text: lines.slice(at + 1, until).join("\n") });
      at = until + 1;
      continue;
    }
    const heading = HEADING.exec(line);
    if (heading) {
      found.push({ kind: "heading", level: (heading[1] ?? "#").length, of: inline((heading[2] ?? "").trim()) });
      at += 1;
      continue;
    }
    if (RULE.test(line)) {
      found.push({ kind: "rule" });
      at += 1;
      continue;
    }
    if (depth < DEEPEST && QUOTE.test(line)) {
      const inner: string[] = [];
      for (let quoted = QUOTE.exec(line); quoted; quoted = QUOTE.exec(lines[at] ?? "")) {
        inner.push(quoted[1] ?? "");
        at += 1;
        if (at >= lines.length) break;
      }
      found.push({ kind: "quote", of: blocks(inner.join("\n"), depth + 1) });
      continue;
    }
    if (depth < DEEPEST && ITEM.test(line)) {
      const [list, next] = readList(lines, at, depth);
      found.push(list);
      at = next;
      continue;
    }
    if (line.includes("|") && TABLE_LINE.test(lines[at + 1] ?? "") && (lines[at + 1] ?? "").includes("-")) {
      const head = cells(line);
      const rows: Inline[][][] = [];
      at += 2;
      while (at < lines.length && (lines[at] ?? "").includes("|") && (lines[at] ?? "").trim() !== "") {
        const row = cells(lines[at] ?? "");
        rows.push(head.map((_, n) => row[n] ?? []));
        at += 1;
      }
      found.push({ kind: "table", head, rows });
      continue;
    }
    const start = at;
    do at += 1;
    while (at < lines.length && !breaksParagraph(lines[at] ?? "", depth));
    found.push({ kind: "paragraph", of: inline(lines.slice(start, at).map((one) => one.trim()).join("\n")) });
  }
  return found;
}

/** How a block of code begins; none where the line goes on as text. */
function fenceOf(line: string): { mark: string; language: string } | null {
  const found = FENCE.exec(line);
  const [mark, rest] = [found?.[1] ?? "", (found?.[2] ?? "").trim()];
  if (mark === "" || (mark.startsWith("`") && rest.includes("`"))) return null;
  return { mark, language: rest.split(" ")[0] ?? "" };
}

function isEnd(line: string, mark: string): boolean {
  const trimmed = line.trim();
  return trimmed.length >= mark.length && trimmed === (mark[0] ?? "`").repeat(trimmed.length);
}

function breaksParagraph(line: string, depth: number): boolean {
  if (line.trim() === "") return true;
  return fenceOf(line) !== null || HEADING.test(line) || RULE.test(line) || (depth < DEEPEST && (QUOTE.test(line) || ITEM.test(line)));
}

/** A list: items of one kind of mark, each with what is indented below it. */
function readList(lines: string[], from: number, depth: number): [Block, number] {
  const first = ITEM.exec(lines[from] ?? "");
  const ordered = /\d/.test(first?.[2] ?? "");
  const items: Block[][] = [];
  let at = from;
  while (at < lines.length) {
    const item = ITEM.exec(lines[at] ?? "");
    if (!item || /\d/.test(item[2] ?? "") !== ordered || RULE.test(lines[at] ?? "")) break;
    const indent = (item[1] ?? "").length + (item[2] ?? "").length + Math.min((item[3] ?? " ").length, 4);
    const inner = [item[4] ?? ""];
    at += 1;
    while (at < lines.length) {
      const line = lines[at] ?? "";
      const own = line.length - line.trimStart().length;
      if (line.trim() === "") {
        const next = past(lines, at);
        const after = lines[next] ?? "";
        if (after.length - after.trimStart().length < indent) break;
        for (; at < next; at += 1) inner.push("");
        continue;
      }
      if (own >= Math.min(indent, 2)) inner.push(line.slice(Math.min(own, indent)));
      else if (breaksParagraph(line, depth)) break;
      else inner.push(line);
      at += 1;
    }
    items.push(blocks(inner.join("\n"), depth + 1));
    // Items may stand apart.
    const next = past(lines, at);
    if (ITEM.test(lines[next] ?? "")) at = next;
    else break;
  }
  return [{ kind: "list", first: ordered ? Number.parseInt(first?.[2] ?? "1", 10) : null, items }, at];
}

/** The next line that is not empty. */
function past(lines: string[], from: number): number {
  let at = from;
  while (at < lines.length && (lines[at] ?? "").trim() === "") at += 1;
  return at;
}

function cells(line: string): Inline[][] {
  const inner = line.trim().replace(/^\|/, "").replace(/\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => inline(cell.trim().replaceAll("\\|", "|")));
}

const MARKS: [string, "strong" | "emphasis" | "struck"][] = [
  ["**", "strong"],
  ["__", "strong"],
  ["~~", "struck"],
  ["*", "emphasis"],
  ["_", "emphasis"],
];

/** The pieces of a line. */
export function inline(text: string, depth = 0, isInLink = false): Inline[] {
  const found: Inline[] = [];
  let plain = "";
  const flush = () => {
    if (plain !== "") found.push({ kind: "text", text: plain });
    plain = "";
  };
  let at = 0;
  while (at < text.length) {
    const rest = text.slice(at, at + AHEAD);
    const escape = /^\\([!-/:-@[-`{-~])/.exec(rest);
    if (escape) {
      plain += escape[1] ?? "";
      at += 2;
      continue;
    }
    const code = /^(`+)([^`]|[^`].*?[^`])\1(?!`)/s.exec(rest);
    if (code) {
      flush();
      found.push({ kind: "code", text: (code[2] ?? "").replaceAll("\n", " ") });
      at += code[0].length;
      continue;
    }
    const link = depth < DEEPEST && !isInLink ? /^!?\[([^[\]]*)\]\(<?([^\s()<>]*(?:\([^\s()]*\)[^\s()<>]*)?)>?(?:\s+"[^"]*")?\)/.exec(rest) : null;
    if (link) {
      flush();
      found.push(linked(link[2] ?? "", link[1] ?? "", depth));
      at += link[0].length;
      continue;
    }
    const bare = isInLink ? null : /^(?:<(https?:\/\/[^\s<>]+)>|(https?:\/\/[^\s<>"'`)\]]*[^\s<>"'`)\].,;:!?*_~]))/.exec(rest);
    const before = text[at - 1] ?? " ";
    if (bare && !/\w/.test(before)) {
      flush();
      const to = bare[1] ?? bare[2] ?? "";
      const words: Inline = { kind: "text", text: to };
      found.push(isSafe(to) ? { kind: "link", to, of: [words] } : words);
      at += bare[0].length;
      continue;
    }
    const marked = depth < DEEPEST ? readMarked(rest, before) : null;
    if (marked) {
      flush();
      found.push({ kind: marked.kind, of: inline(marked.text, depth + 1, isInLink) });
      at += marked.length;
      continue;
    }
    plain += text[at] ?? "";
    at += 1;
  }
  flush();
  return found;
}

function readMarked(rest: string, before: string): { kind: "strong" | "emphasis" | "struck"; text: string; length: number } | null {
  for (const [mark, kind] of MARKS) {
    if (!rest.startsWith(mark)) continue;
    // `snake_case` is a word.
    if (mark.startsWith("_") && /\w/.test(before)) return null;
    if (isBlank(rest[mark.length])) continue;
    let end = rest.indexOf(mark, mark.length + 1);
    for (let tries = 0; end > 0 && tries < TRIES; tries += 1) {
      const after = rest[end + mark.length] ?? " ";
      const doubled = mark.length === 1 && (after === mark || rest[end - 1] === mark);
      const inWord = mark.startsWith("_") && /\w/.test(after);
      if (!doubled && !inWord && !isBlank(rest[end - 1])) {
        return { kind, text: rest.slice(mark.length, end), length: end + mark.length };
      }
      end = rest.indexOf(mark, end + (doubled ? 2 : 1));
    }
  }
  return null;
}

function isBlank(char: string | undefined): boolean {
  return char === undefined || char === " " || char === "\n";
}

/** A link, if it leads to where a browser may go from here; else its words. Where it really leads stands beside it. */
function linked(to: string, words: string, depth: number): Inline {
  // No link within a link: one would lead elsewhere than the other says.
  const of = inline(words === "" ? to : words, depth + 1, true);
  if (!isSafe(to)) return { kind: "emphasis", of: [...of, { kind: "text", text: to === words ? "" : ` (${to})` }] };
  return { kind: "link", to, of };
}

/** Where this page is, by any of its machine's names. */
type Place = Pick<Location, "hostname" | "port">;
const THIS_MACHINE = /^(?:localhost|.+\.localhost|127\.[\d.]+|0\.0\.0\.0|\[::1?\]|\[::ffff:7f[\da-f:]+\])$/;

/** Whether an address is one of the web or of mail, and nothing that acts on this page or leads back to its gateway. */
export function isSafe(to: string, here: Place | undefined = globalThis.location): boolean {
  if (!/^(?:https?:\/\/|mailto:)/i.test(to)) return false;
  try {
    const { protocol, hostname, port } = new URL(to);
    if (protocol === "mailto:") return true;
    const isHere = port === here?.port && (hostname === here.hostname || THIS_MACHINE.test(hostname));
    return ["http:", "https:"].includes(protocol) && !isHere;
  } catch {
    return false;
  }
}
