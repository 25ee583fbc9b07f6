/** Graphs: a line over time, and bars by day. Their words say what the picture shows. */
import type { Point } from "../meter";
import { type Bar, HEIGHT, WIDTH, path } from "../plot";
import { clock, dayAndClock } from "../words";

export function Line(props: { name: string; points: Point[]; most: number; gap: number; words: (value: number) => string; limit?: number }) {
  const { name, points, most, gap, words, limit } = props;
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) return null;
  const highest = Math.max(...points.map(([, value]) => value));
  const told = `${name}: ${words(last[1])} now, at most ${words(highest)} since ${dayAndClock(first[0])}`;
  return (
    <figure class="chart">
      <figcaption>
        <b>{name}</b> {words(last[1])} <span class="faint">at most {words(highest)}</span>
      </figcaption>
      <svg viewBox={`0 -2 ${WIDTH} ${HEIGHT + 4}`} preserveAspectRatio="none" role="img" aria-label={told}>
        {limit !== undefined && limit > 0 && limit <= most && <path class="limit" d={`M0 ${HEIGHT - (limit / most) * HEIGHT}h${WIDTH}`} />}
        <path class="axis" d={`M0 ${HEIGHT}h${WIDTH}M0 0h${WIDTH}`} />
        <path class="curve" d={path(points, most, gap)} />
      </svg>
      <p class="ends faint">
        <span>{clock(first[0])}</span>
        <span>top: {words(most)}</span>
        <span>{clock(last[0])}</span>
      </p>
    </figure>
  );
}

export function Bars({ name, bars, words }: { name: string; bars: Bar[]; words: (value: number) => string }) {
  const highest = Math.max(1, ...bars.map(({ value }) => value));
  const sum = bars.reduce((before, { value }) => before + value, 0);
  const width = WIDTH / Math.max(1, bars.length);
  return (
    <figure class="chart">
      <figcaption>
        <b>{name}</b> {words(sum)} <span class="faint">at most {words(highest === 1 ? 0 : highest)} a day</span>
      </figcaption>
      <svg viewBox={`0 -2 ${WIDTH} ${HEIGHT + 4}`} preserveAspectRatio="none" role="img" aria-label={`${name}: ${words(sum)}; the days stand in the table below`}>
        <path class="axis" d={`M0 ${HEIGHT}h${WIDTH}`} />
        {bars.map(({ name: day, value }, at) => (
          <rect key={day} class="bar-of" x={at * width + width * 0.1} y={HEIGHT - (value / highest) * HEIGHT} width={width * 0.8} height={(value / highest) * HEIGHT}>
            <title>{`${day}: ${words(value)}`}</title>
          </rect>
        ))}
      </svg>
      <p class="ends faint">
        <span>{bars[0]?.name}</span>
        <span>{bars.at(-1)?.name}</span>
      </p>
      <details>
        <summary>as a table</summary>
        <table>
          <tbody>
            {bars.filter(({ value }) => value > 0).map(({ name: day, value }) => (
              <tr key={day}>
                <th scope="row">{day}</th>
                <td>{words(value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </figure>
  );
}
