/** Who may come in: this session, and all tokens and sessions that there are. */
import { useState } from "preact/hooks";
import type { Desk } from "../desk";
import { remove } from "../gateway";
import { isOpen } from "../tokens";
import type { Token } from "../types";
import { line } from "../visible";
import { age, dayAndClock, left } from "../words";
import { useRead } from "./read";
import { useNow } from "./use";

export function Settings({ desk }: { desk: Desk }) {
  const who = desk.whoami;
  return (
    <div class="scrolls fills">
      <h3>This session</h3>
      {who !== null && (
        <p>
          <b>{line(desk.name ?? "")}</b> may <code>{who.scopes.join(", ")}</code>
          {who.frames && who.frames.length > 0 && ` in ${who.frames.map(line).join(", ")}`}
        </p>
      )}
      <p class="faint">
        More, or less, on the gateway's machine: <code>mimir web --scope read,send,approve,frames</code>
      </p>
      <h3>Tokens and sessions</h3>
      {who === null ? null : desk.may("admin") ? (
        <Tokens desk={desk} />
      ) : (
        <p class="faint">
          This session may not see them (it lacks the scope `admin`). <code>mimir token list</code> shows them, <code>mimir token revoke NAME</code> ends one.
        </p>
      )}
    </div>
  );
}

function Tokens({ desk }: { desk: Desk }) {
  const now = useNow(30_000);
  const [isAll, setAll] = useState(false);
  const { value: tokens, error, again } = useRead<Token[]>(desk, "/v1/tokens");
  const shown = (tokens ?? []).filter((token) => isAll || isOpen(token, now)).sort((a, b) => b.created_at - a.created_at);
  return (
    <>
      {error !== null && <p class="bad">{line(error)}</p>}
      <label class="option">
        <input type="checkbox" checked={isAll} onChange={(event) => setAll(event.currentTarget.checked)} /> also those that open nothing any more
      </label>
      {tokens !== null && shown.length === 0 && <p class="faint">None.</p>}
      <ul class="plain-list">
        {shown.map((token) => (
          <li key={token.id} class="card">
            <TokenShown desk={desk} token={token} now={now} again={again} />
          </li>
        ))}
      </ul>
    </>
  );
}

function TokenShown({ desk, token, now, again }: { desk: Desk; token: Token; now: number; again: () => void }) {
  const isOwn = token.name === desk.name;
  const facts = [
    token.name.startsWith("web-") ? "a browser" : "a token",
    token.scopes.join(", "),
    token.frames && token.frames.length > 0 ? `only ${token.frames.join(", ")}` : "",
    `made ${dayAndClock(token.created_at)} by ${token.created_by}`,
    token.last_used_at ? `used ${age(token.last_used_at, now)}${token.last_used_from ? ` from ${token.last_used_from}` : ""}` : "never used",
    isOpen(token, now) && token.expires_at ? `ends in ${left(token.expires_at, now)}` : "",
  ];
  const path = `/v1/tokens/${encodeURIComponent(token.id)}`;
  const revoke = () =>
    desk.ask({
      text: `Revoke ${token.name}?`,
      detail: isOwn ? "It is the one that you are here with: this page closes." : "Whoever has it is out at once, and so is what it holds open.",
      verb: "Revoke",
      isBad: true,
      act: () => void desk.change(() => remove(path), `${token.name} opens nothing any more`).then(again),
    });
  return (
    <>
      <p>
        <b>{line(token.name)}</b> {isOwn && <span class="good">this session</span>} {!isOpen(token, now) && <span class="faint">{line(token.state)}</span>}
      </p>
      <p class="faint">{facts.filter((part) => part !== "").map(line).join(" · ")}</p>
      {isOpen(token, now) && (
        <button type="button" class="bad" onClick={revoke} aria-label={`Revoke ${token.name}`}>
          Revoke
        </button>
      )}
    </>
  );
}
