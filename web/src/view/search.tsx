/** Looks for words in all conversations there ever were. */
import { useState } from "preact/hooks";
import { frameAt } from "../address";
import type { Desk } from "../desk";
import type { Hit } from "../types";
import { line, prose } from "../visible";
import { dayAndClock } from "../words";
import { useRead } from "./read";
import { useFocus } from "./use";

const MOST = 50;

/** What was looked for last: whoever goes to a conversation and comes back finds it again. */
let last = "";

export function Search({ desk }: { desk: Desk }) {
  const [words, setWords] = useState(last);
  const [asked, setAsked] = useState(last);
  const field = useFocus<HTMLInputElement>();
  const path = asked === "" ? null : `/v1/search?limit=${MOST}&q=${encodeURIComponent(asked)}`;
  const { value: hits, error, again } = useRead<Hit[]>(desk, path);
  return (
    <>
      <form
        class="row tools"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          last = words.trim();
          setAsked(last);
          again();
        }}
      >
        <label class="grow">
          <span class="hidden">words</span>
          <input ref={field} type="search" value={words} maxLength={1000} placeholder={'words  "words together"  begin*  -without'} onInput={(event) => setWords(event.currentTarget.value)} />
        </label>
        <button type="submit" class="good">
          Search
        </button>
      </form>
      <div class="scrolls fills" aria-live="polite">
        {error !== null && <p class="bad">{line(error)}</p>}
        {path !== null && hits === null && error === null && <p class="faint">It is being looked for…</p>}
        {hits !== null && <p class="faint">{hits.length === 0 ? "Nobody said that." : hits.length === MOST ? `The best ${MOST}` : `${hits.length} found`}</p>}
        <ol class="plain-list">
          {(hits ?? []).map((hit) => (
            <li key={`${hit.session} ${hit.agent_message}`} class="card">
              <Found desk={desk} hit={hit} />
            </li>
          ))}
        </ol>
      </div>
    </>
  );
}

function Found({ desk, hit }: { desk: Desk; hit: Hit }) {
  const isThere = desk.frames.some((frame) => frame.name === hit.frame);
  return (
    <>
      <p>
        {isThere ? <a href={frameAt(hit.frame, "talk", hit.session)}>{line(hit.title)}</a> : <b>{line(hit.title)}</b>}{" "}
        <span class="faint">
          {line(hit.frame)}
          {!isThere && " (gone)"} · {hit.role === "user" ? "you" : "agent"} · {dayAndClock(hit.at)}
        </span>
      </p>
      <p class="words">
        {hit.snippet.map((piece, at) => (piece.hit ? <mark key={at}>{prose(piece.text)}</mark> : prose(piece.text)))}
      </p>
      {!isThere && (
        <p class="faint">
          <code>mimir sessions show {hit.session}</code>
        </p>
      )}
    </>
  );
}
