/**
 * Curves as the page keeps them: parallel arrays, a point each. A point stands for `n` recorded values; `low` and
 * `high` are the extremes of these. History comes once, downsampled by the server; what happens afterwards is appended.
 */
import { toNumber, type WireSeries } from "../api";

export type Axis = "step" | "epoch" | "time";
const FIELDS = ["step", "epoch", "time", "value", "low", "high", "n"] as const;

export interface Series {
  key: string; // "split/name" as the server calls it
  split: string;
  name: string;
  step: number[];
  epoch: number[];
  time: number[]; // Unix seconds
  value: number[];
  low: number[];
  high: number[];
  n: number[];
  /** How many values were recorded in all. */
  count: number;
}

export function emptySeries(key: string): Series {
  const slash = key.indexOf("/");
  const [split, name] = [key.slice(0, slash), key.slice(slash + 1)];
  return { key, split, name, step: [], epoch: [], time: [], value: [], low: [], high: [], n: [], count: 0 };
}

export function fromWire(key: string, wire: WireSeries): Series {
  const value = wire.value.map(toNumber);
  const count = wire.count ?? value.length;
  const n = wire.is_exact === false && value.length ? count / value.length : 1;
  return {
    ...emptySeries(key),
    step: wire.step,
    epoch: wire.epoch.map(toNumber),
    time: wire.time,
    value,
    low: wire.low?.map(toNumber) ?? value,
    high: wire.high?.map(toNumber) ?? value,
    n: value.map(() => n),
    count,
  };
}

/** True when every point is a recorded value. */
export function isExact(series: Series): boolean {
  return series.count <= series.value.length;
}

/** `series` and the newer `points`; what it holds already (a stream may tell twice) is left out. */
export function append(series: Series, points: Series): Series {
  const last = series.step.at(-1) ?? -Infinity;
  const lastTime = series.time.at(-1) ?? -Infinity;
  let from = 0;
  while (from < points.step.length && (points.step[from]! < last || (points.step[from] === last && points.time[from]! <= lastTime))) from++;
  const more = from ? slice(points, from, points.step.length) : points;
  return { ...joined(series, more), count: series.count + more.n.reduce((sum, n) => sum + n, 0) };
}

/** Without what was recorded after `step`: a resume went back to there. */
export function truncate(series: Series, step: number): Series {
  const end = series.step.findIndex((each) => each > step);
  if (end < 0) return series;
  const rest = slice(series, 0, end);
  return { ...rest, count: Math.round(rest.n.reduce((sum, n) => sum + n, 0)) };
}

/** Without the points of some steps; those that stand for several values stay. */
export function without(series: Series, steps: number[]): Series {
  const gone = new Set(steps);
  const left = emptySeries(series.key);
  for (let i = 0; i < series.step.length; i++) {
    if (series.n[i] === 1 && gone.has(series.step[i]!)) continue;
    for (const field of FIELDS) left[field].push(series[field][i]!);
  }
  return { ...left, count: series.count - (series.step.length - left.step.length) };
}

/** The points of a range of an axis. */
export function within(series: Series, axis: Axis, from: number, to: number): Series {
  return slice(series, firstAbove(series[axis], from, true), firstAbove(series[axis], to, false));
}

/** At most `most` points: all but the newest quarter are put together in pairs (means by how many values each stands for). */
export function compact(series: Series, most: number): Series {
  const length = series.value.length;
  if (length <= most) return series;
  const pairs = (length - (most >> 2)) >> 1;
  const merged = emptySeries(series.key);
  for (let i = 0; i < pairs; i++) pair(series, 2 * i, merged);
  return { ...joined(merged, slice(series, 2 * pairs, length)), count: series.count };
}

function pair(series: Series, i: number, into: Series): void {
  const j = i + 1;
  const [a, b] = [series.n[i]!, series.n[j]!];
  const [x, y] = [series.value[i]!, series.value[j]!];
  // What is no number stays one, and leaves the other alone: it is shown as a mark.
  const value = !Number.isFinite(x) ? x : !Number.isFinite(y) ? y : (a * x + b * y) / (a + b);
  into.step.push(series.step[j]!);
  into.epoch.push(series.epoch[j]!);
  into.time.push(series.time[j]!);
  into.value.push(value);
  into.low.push(Math.min(series.low[i]!, series.low[j]!));
  into.high.push(Math.max(series.high[i]!, series.high[j]!));
  into.n.push(a + b);
}

/** `whole` with the points of `detail`, a finer look at the range `from`–`to` of an axis, in the place of its own. */
export function merge(whole: Series, detail: Series, axis: Axis, from: number, to: number): Series {
  const before = firstAbove(whole[axis], from, true);
  const after = firstAbove(whole[axis], to, false);
  return { ...joined(joined(slice(whole, 0, before), detail), slice(whole, after, whole.value.length)), count: whole.count };
}

/** The first index whose x is above `limit` (or reaches it); `xs` never falls. */
export function firstAbove(xs: number[], limit: number, orEqual: boolean): number {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle]! > limit || (orEqual && xs[middle] === limit)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The index of the point nearest to x; −1 where there is none. */
export function nearest(xs: number[], x: number): number {
  const after = firstAbove(xs, x, true);
  if (after === 0) return xs.length ? 0 : -1;
  if (after === xs.length) return after - 1;
  return xs[after]! - x < x - xs[after - 1]! ? after : after - 1;
}

function slice(series: Series, from: number, to: number): Series {
  const part = { ...series };
  for (const field of FIELDS) part[field] = series[field].slice(from, to);
  return part;
}

function joined(a: Series, b: Series): Series {
  const whole = { ...a };
  for (const field of FIELDS) whole[field] = a[field].length ? (b[field].length ? a[field].concat(b[field]) : a[field]) : b[field];
  return whole;
}
