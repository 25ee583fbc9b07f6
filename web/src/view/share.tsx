/** A link with which others look at a terminal for a while. */
import { useState } from "preact/hooks";
import { post, remove, wordsOf } from "../gateway";
import { line } from "../visible";
import { clock } from "../words";

interface Shared {
  link: string;
  share: { id: string; expires_at: number };
}

export function Share({ frame, window }: { frame: string; window: string | null }) {
  const [shared, setShared] = useState<Shared | null>(null);
  const [why, setWhy] = useState<string | null>(null);
  const path = `/v1/frames/${frame}/terminal/shares`;
  const change = (act: () => Promise<Shared | null>) => {
    setWhy(null);
    act().then(setShared, (error: unknown) => setWhy(wordsOf(error)));
  };
  const share = () => change(() => post<Shared>(path, window === null ? {} : { window }));
  const takeBack = (id: string) => change(() => remove(`${path}/${id}`).then(() => null));
  return (
    <>
      {shared === null ? (
        <button type="button" onClick={share} title="Whoever has the link sees this terminal for an hour, and can do nothing in it.">
          Share for an hour
        </button>
      ) : (
        <>
          <label class="grow">
            <span class="hidden">link to look at this terminal</span>
            <input readOnly value={shared.link} onFocus={(event) => event.currentTarget.select()} />
          </label>
          <button type="button" onClick={() => takeBack(shared.share.id)}>
            Take back (until {clock(shared.share.expires_at).slice(0, 5)})
          </button>
        </>
      )}
      {why !== null && (
        <span class="warn" role="alert">
          {line(why)}
        </span>
      )}
    </>
  );
}
