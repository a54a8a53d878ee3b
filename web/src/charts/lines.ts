/** What a chart draws, apart from how: lines and bands over one axis. uPlot and the SVG are both made of it. */
import { isSmoothed } from "./panels";
import { isExact, type Axis, type Series } from "./series";
import { smooth } from "./smoothing";

export interface Line {
  key: string;
  /** What of the curve: the values themselves, a smoothed line over them, or the lower or upper edge of its band. */
  part: "value" | "faint" | "smooth" | "low" | "high";
  colour: string; // a token
  xs: number[];
  ys: number[]; // NaN and the infinities are gaps
}

/** Where a curve is no number: shown as marks at the top edge. */
export interface Gap {
  key: string;
  colour: string;
  x: number;
  value: number;
}

export interface Drawing {
  lines: Line[];
  gaps: Gap[];
}

/** The lines of some curves; `origin` is where the axis's 0 is. Those behind come first. */
export function draw(curves: { series: Series; colour: string }[], axis: Axis, origin: number, beta: number): Drawing {
  const bands: Line[] = [];
  const behind: Line[] = [];
  const front: Line[] = [];
  const gaps: Gap[] = [];
  for (const { series, colour } of curves) {
    const xs = origin ? series[axis].map((x) => x - origin) : series[axis];
    const line = (part: Line["part"], ys: number[]): Line => ({ key: series.key, part, colour, xs, ys });
    const isOverlaid = beta > 0 && isSmoothed(series);
    if (!isExact(series)) bands.push(line("high", series.high), line("low", series.low));
    if (isOverlaid) behind.push(line("faint", series.value));
    front.unshift(isOverlaid ? line("smooth", smooth(series.value, series.n, series.count, beta)) : line("value", series.value));
    series.value.forEach((value, i) => {
      if (!Number.isFinite(value)) gaps.push({ key: series.key, colour, x: xs[i]!, value });
    });
  }
  return { lines: [...bands, ...behind, ...front], gaps };
}

/**
 * One table of all lines, as uPlot wants it: the union of their xs, and a column a line. `undefined` where a line has no
 * point, which the line passes over; null where its value is no number, which breaks it.
 */
export function table(lines: Line[], isLog: boolean): [number[], ...(number | null | undefined)[][]] {
  const distinct = [...new Set(lines.map((line) => line.xs))];
  const xs = distinct.length === 1 ? uniqueSorted(distinct[0]!) : uniqueSorted(distinct.flat());
  const columns = lines.map((line) => {
    const column = new Array<number | null | undefined>(xs.length);
    let at = 0;
    for (let i = 0; i < line.xs.length; i++) {
      const x = line.xs[i]!;
      while (xs[at]! < x) at++;
      const y = line.ys[i]!;
      column[at] = isOnScale(y, isLog) ? y : null;
    }
    return column;
  });
  return [xs, ...columns];
}

function uniqueSorted(values: number[]): number[] {
  const sorted = Float64Array.from(values).sort();
  const out: number[] = [];
  for (const value of sorted) if (value !== out.at(-1)) out.push(value);
  return out;
}

const FEW = 40;

/** Whether a line's points are drawn too: where there are few, and not on what lies behind it. */
export function arePoints({ part, xs }: Line): boolean {
  return (part === "value" || part === "smooth") && xs.length <= FEW;
}

/** Whether a value has a place on the axis. */
export function isOnScale(y: number, isLog: boolean): boolean {
  return Number.isFinite(y) && (!isLog || y > 0);
}

/** The lowest and highest of what is seen between two xs, of a line that only passes through too; null without any. */
export function extentOf(lines: Line[], from: number, to: number, isLog: boolean): [number, number] | null {
  let low = Infinity;
  let high = -Infinity;
  const see = (y: number) => {
    if (y < low) low = y;
    if (y > high) high = y;
  };
  for (const { xs, ys } of lines) {
    for (let i = 0; i < xs.length; i++) {
      const [x, y] = [xs[i]!, ys[i]!];
      if (!isOnScale(y, isLog)) continue;
      if (x >= from && x <= to) see(y);
      const [before, its] = [xs[i - 1], ys[i - 1]];
      if (before === undefined || its === undefined || !isOnScale(its, isLog)) continue;
      for (const edge of [from, to]) if (before < edge && edge < x) see(between(its, y, (edge - before) / (x - before), isLog));
    }
  }
  return low <= high ? [low, high] : null;
}

/** What a straight line from `a` to `b` has at a share of its way, straight on the axis's scale. */
function between(a: number, b: number, share: number, isLog: boolean): number {
  return isLog ? Math.exp(Math.log(a) + (Math.log(b) - Math.log(a)) * share) : a + (b - a) * share;
}

/** Room above and below; a flat line, its rounding errors included, is in the middle. */
export function padded([low, high]: [number, number], isLog: boolean): [number, number] {
  if (isLog) {
    const [a, b] = [Math.log10(low), Math.log10(high)];
    const room = Math.max(0.05, (b - a) * 0.04);
    return [10 ** (a - room), 10 ** (b + room)];
  }
  const size = Math.max(Math.abs(low), Math.abs(high));
  const room = high - low > 1e-6 * size ? (high - low) * 0.05 : size * 0.05 || 1;
  return [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
}
