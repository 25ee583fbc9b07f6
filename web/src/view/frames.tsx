/** The list of frames. */
import { viewAt } from "../address";
import type { Desk } from "../desk";
import type { Frame } from "../types";
import { line } from "../visible";
import { money, sign, wordOf } from "../words";

/** Those whose name or project has these letters. */
export function matching(frames: Frame[], letters: string): Frame[] {
  const wanted = letters.trim().toLowerCase();
  const has = (text: string | null | undefined) => (text ?? "").toLowerCase().includes(wanted);
  return frames.filter((frame) => wanted === "" || has(frame.name) || has(frame.project));
}

export function Frames({ desk, letters, onFilter }: { desk: Desk; letters: string; onFilter: (letters: string) => void }) {
  const shown = matching(desk.frames, letters);
  const all = desk.frames.length;
  return (
    <nav class="frames" aria-label="frames">
      <div class="row">
        <span class="faint">{shown.length === all ? `${all} frames` : `${shown.length} of ${all} frames`}</span>
        <label class="grow">
          <span class="hidden">only frames with these letters</span>
          <input
            id="filter"
            type="search"
            value={letters}
            placeholder="filter  /"
            autocomplete="off"
            onInput={(event) => onFilter(event.currentTarget.value)}
            onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
          />
        </label>
      </div>
      {!desk.isRead && <p class="faint">The frames are being asked for…</p>}
      {desk.isRead && all === 0 && (
        <p>
          No frames yet. {desk.may("frames") ? <a href={viewAt("new")}>Make one</a> : <code>mimir frame create NAME</code>}
        </p>
      )}
      <ul>
        {shown.map((frame) => (
          <li key={frame.id}>
            <Row desk={desk} frame={frame} />
          </li>
        ))}
      </ul>
    </nav>
  );
}

function Row({ desk, frame }: { desk: Desk; frame: Frame }) {
  const asked = desk.askedBy(frame.name);
  const word = wordOf(frame, asked.length);
  const isChosen = desk.chosen === frame.name;
  const more = { waiting: asked[0]?.text, busy: desk.doing.get(frame.name), error: frame.reason ?? undefined }[word as string];
  const queued = frame.status?.queued ?? 0;
  return (
    <a class={`frame ${word}`} href={`#/${frame.name}`} aria-current={isChosen ? "true" : undefined}>
      <span class="sign" aria-hidden="true">
        {sign(word)}
      </span>
      <span class="name">{frame.name}</span>
      <span class="cost">{money(frame.cost_microusd)}</span>
      <span class="says">
        {word}
        {queued > 0 && `, ${queued} queued`}
        {more !== undefined && <span class="what"> · {line(more)}</span>}
      </span>
    </a>
  );
}
