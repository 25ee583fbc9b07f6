/** What a frame uses while somebody looks, and what its conversation cost. */
import { useEffect, useMemo, useState } from "preact/hooks";
import type { Desk } from "../desk";
import { get, wordsOf } from "../gateway";
import { addedUp, usedBy } from "../meter";
import { ceiling, ceilingOfBytes } from "../plot";
import type { Frame, FrameStats } from "../types";
import { line } from "../visible";
import { bytes, dayAndClock, many, money } from "../words";
import { Line } from "./chart";

/** So often it is asked what a frame uses. */
const EVERY_MS = 5000;
/** So long without a look is a gap. */
const GAP_MS = 90_000;
/** So many answers stand in the table. */
const ANSWERS = 50;

export function Usage({ desk, frame }: { desk: Desk; frame: Frame }) {
  const why = useMeter(desk, frame);
  return (
    <section class="fills scrolls" aria-label="usage" tabIndex={0}>
      <h3>Now, and since you look</h3>
      {why !== null && <p class="faint">{line(why)}</p>}
      <Resources desk={desk} frame={frame} />
      <h3>Tokens and cost of this conversation</h3>
      <Cost desk={desk} />
    </section>
  );
}

function Resources({ desk, frame }: { desk: Desk; frame: Frame }) {
  const meter = desk.meterOf(frame.name);
  const cores = meter.points("cores");
  const memory = meter.points("memory");
  const processes = meter.points("processes");
  if (cores.length === 0) return null;
  const highest = (points: typeof cores) => Math.max(...points.map(([, value]) => value));
  const mostMemory = Math.max(ceilingOfBytes(highest(memory)), meter.limit <= highest(memory) * 4 ? meter.limit : 0);
  return (
    <>
      <div class="charts">
        <Line name="processor" points={cores} most={ceiling(highest(cores))} gap={GAP_MS} words={(value) => `${value.toFixed(2)} cores`} />
        <Line name="memory" points={memory} most={mostMemory} gap={GAP_MS} words={bytes} limit={meter.limit} />
        <Line name="processes" points={processes} most={ceiling(highest(processes))} gap={GAP_MS} words={String} />
      </div>
      <p class="faint">
        memory: {meter.limit > 0 ? `at most ${bytes(meter.limit)}` : "no limit is enforced"} · home folder: {bytes(meter.home)}
      </p>
    </>
  );
}

function Cost({ desk }: { desk: Desk }) {
  const turns = desk.talk?.session?.turns;
  const used = useMemo(() => usedBy(turns ?? []), [turns]);
  if (used.length === 0) return <p class="faint">No answer has used anything yet.</p>;
  const tokens = addedUp(used, (one) => one.input + one.output + one.cached);
  const cost = addedUp(used, (one) => one.cost);
  const top = (points: typeof cost) => ceiling(points.at(-1)?.[1] ?? 0);
  return (
    <>
      <div class="charts">
        <Line name="tokens" points={tokens} most={top(tokens)} gap={Infinity} words={many} />
        <Line name="cost" points={cost} most={top(cost)} gap={Infinity} words={money} />
      </div>
      <div class="wide" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">answer</th>
              <th scope="col">model</th>
              <th scope="col">read</th>
              <th scope="col">from a cache</th>
              <th scope="col">written</th>
              <th scope="col">cost</th>
            </tr>
          </thead>
          <tbody>
            {used.slice(-ANSWERS).reverse().map((one, at) => (
              <tr key={at}>
                <td>{dayAndClock(one.at)}</td>
                <td>{line(one.model)}</td>
                <td>{many(one.input)}</td>
                <td>{many(one.cached)}</td>
                <td>{many(one.output)}</td>
                <td>{money(one.cost)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

/** Asks while somebody looks, and nobody else; says why there is nothing to ask. */
function useMeter(desk: Desk, frame: Frame): string | null {
  const [why, setWhy] = useState<string | null>(null);
  const [, draw] = useState(0);
  const runs = frame.engine !== "external" && (frame.state === "running" || frame.state === "starting");
  useEffect(() => {
    if (!runs) return setWhy(frame.engine === "external" ? "It runs elsewhere." : `It is ${frame.state}.`);
    setWhy(null);
    let isLeft = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async () => {
      const begun = performance.now();
      if (document.visibilityState === "visible") {
        const said = await measured(desk, frame.name);
        if (isLeft) return;
        setWhy(said);
        draw((count) => count + 1);
      }
      // A home folder with very many files takes long to be measured: then it is asked for less often.
      timer = setTimeout(() => void look(), Math.max(EVERY_MS, (performance.now() - begun) * 10));
    };
    void look();
    return () => {
      isLeft = true;
      clearTimeout(timer);
    };
  }, [desk, frame.name, frame.state, runs]);
  return why;
}

/** Asks once; gives why it could not. */
async function measured(desk: Desk, frame: string): Promise<string | null> {
  try {
    desk.meterOf(frame).add(await get<FrameStats>(`/v1/frames/${encodeURIComponent(frame)}/stats`), Date.now());
    return null;
  } catch (error) {
    return wordsOf(error);
  }
}
