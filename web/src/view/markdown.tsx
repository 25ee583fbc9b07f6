/** Words of an agent with their structure. Nothing in them becomes an element that is not listed here. */
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { type Block, type Inline, blocks } from "../markdown";
import { line, prose } from "../visible";

export function Markdown({ text }: { text: string }) {
  const parsed = useMemo(() => blocks(prose(text)), [text]);
  return <div class="prose">{parsed.map(block)}</div>;
}

function block(one: Block, at: number): ComponentChildren {
  switch (one.kind) {
    case "paragraph":
      return <p key={at}>{one.of.map(piece)}</p>;
    case "heading":
      // The page has headings of its own above these.
      return (
        <p key={at} class="heading" role="heading" aria-level={Math.min(one.level + 2, 6)}>
          {one.of.map(piece)}
        </p>
      );
    case "code":
      return (
        <pre key={at} tabIndex={0}>
          <code>{one.text}</code>
        </pre>
      );
    case "quote":
      return <blockquote key={at}>{one.of.map(block)}</blockquote>;
    case "list": {
      const items = one.items.map((item, n) => <li key={n}>{item.map(block)}</li>);
      return one.first === null ? <ul key={at}>{items}</ul> : <ol key={at} start={one.first}>{items}</ol>;
    }
    case "table":
      return (
        <div key={at} class="wide" tabIndex={0}>
          <table>
            <thead>
              <tr>{one.head.map((cell, n) => <th key={n}>{cell.map(piece)}</th>)}</tr>
            </thead>
            <tbody>
              {one.rows.map((row, n) => (
                <tr key={n}>{row.map((cell, m) => <td key={m}>{cell.map(piece)}</td>)}</tr>
              ))}
            </tbody>
          </table>
        </div>
      );
    case "rule":
      return <hr key={at} />;
  }
}

function piece(one: Inline, at: number): ComponentChildren {
  switch (one.kind) {
    case "text":
      return one.text;
    case "code":
      return <code key={at}>{one.text}</code>;
    case "strong":
      return <strong key={at}>{one.of.map(piece)}</strong>;
    case "emphasis":
      return <em key={at}>{one.of.map(piece)}</em>;
    case "struck":
      return <s key={at}>{one.of.map(piece)}</s>;
    case "link":
      return <Link key={at} to={one.to} of={one.of} />;
  }
}

/** A link says where it really leads when its words do not. */
function Link({ to, of }: { to: string; of: Inline[] }) {
  const words = of.map((one) => ("text" in one ? one.text : "")).join("");
  return (
    <>
      <a href={to} target="_blank" rel="noopener noreferrer">
        {of.map(piece)}
      </a>
      {words !== to && <span class="faint"> ({line(to)})</span>}
    </>
  );
}
