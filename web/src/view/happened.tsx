/** What happened, of one frame or of all, as it happens. */
import { useState } from "preact/hooks";
import { frameAt } from "../address";
import type { Desk } from "../desk";
import { summary } from "../happened";
import type { Event } from "../types";
import { exact, line } from "../visible";
import { clock, dayAndClock } from "../words";

/** So many are drawn; a button shows those before them. */
const SHOWN = 200;

export function Events({ desk, frame }: { desk: Desk; frame: string | null }) {
  const [kind, setKind] = useState("");
  const [letters, setLetters] = useState("");
  const [most, setMost] = useState(SHOWN);
  const [isReading, setReading] = useState(false);
  const [isAll, setAll] = useState(false);
  const found = desk.happened.matching({ frame, kind, letters });
  const back = async () => {
    setReading(true);
    setAll(!(await desk.readBack()));
    setMost((before) => before + SHOWN);
    setReading(false);
  };
  return (
    <section class="fills" aria-label="events">
      <div class="row tools">
        <label class="grow">
          <span class="hidden">only events with these letters</span>
          <input type="search" value={letters} placeholder="only events with…" onInput={(event) => setLetters(event.currentTarget.value)} />
        </label>
        <label>
          <span class="hidden">kind</span>
          <select value={kind} onChange={(event) => setKind(event.currentTarget.value)}>
            <option value="">all kinds</option>
            {desk.happened.families.map((one) => (
              <option key={one} value={one}>
                {line(one)}*
              </option>
            ))}
          </select>
        </label>
      </div>
      <div class="log" tabIndex={0} role="log" aria-label="events, the newest first">
        {found.length === 0 && <p class="faint">Nothing happened since this page was opened.</p>}
        {found.slice(0, most).map((event) => (
          <EventShown key={event.id} event={event} withFrame={frame === null} />
        ))}
        {found.length > most ? (
          <button type="button" class="plain" onClick={() => setMost(most + SHOWN)}>
            {found.length - most} older ones
          </button>
        ) : (
          <button type="button" disabled={isReading || isAll || desk.happened.since === null} onClick={() => void back()}>
            {isAll ? "No older ones are kept" : isReading ? "They are being read…" : "What happened before"}
          </button>
        )}
      </div>
    </section>
  );
}

function EventShown({ event, withFrame }: { event: Event; withFrame: boolean }) {
  const { id, at, kind, frame, data } = event;
  return (
    <details class="line">
      <summary>
        <time class="faint" title={dayAndClock(at)}>
          {clock(at)}
        </time>{" "}
        <b>{line(kind)}</b> {withFrame && frame ? <a href={frameAt(frame, "events")}>{line(frame)}</a> : null}{" "}
        <span class="faint">{line(summary(data))}</span>
      </summary>
      <pre tabIndex={0}>{exact(JSON.stringify({ id, at: new Date(at).toISOString(), ...event.data }, null, 2))}</pre>
    </details>
  );
}
