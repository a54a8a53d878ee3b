/** Round numbers along an axis. */

/** About `count` multiples of 1, 2 or 5 (times a power of ten) between two values. */
export function linearTicks(from: number, to: number, count: number): number[] {
  const rough = (to - from) / Math.max(1, count);
  if (!isTold(from, to, rough)) return [from];
  const power = 10 ** Math.floor(Math.log10(rough));
  const share = rough / power;
  const step = (share < 1.5 ? 1 : share < 3.5 ? 2 : share < 7.5 ? 5 : 10) * power;
  const first = Math.ceil(from / step - 1e-9);
  const ticks: number[] = [];
  for (let i = first; i * step <= to + step * 1e-9; i++) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

/** Whether steps of this length lead from one end to the other: far from 0, numbers lie too far apart for small ones. */
function isTold(from: number, to: number, step: number): boolean {
  return to > from && Number.isFinite(step) && step > 1e-10 * Math.max(Math.abs(from), Math.abs(to));
}

/** Powers of ten; with few of them, 2 and 5 times these too; and where that leaves fewer than three, as on a linear axis. */
export function logTicks(from: number, to: number, count: number): number[] {
  const [low, high] = [Math.floor(Math.log10(from)), Math.ceil(Math.log10(to))];
  const between = Math.log10(to) - Math.log10(from) < 3 ? [1, 2, 5] : [1];
  const step = Math.max(1, Math.ceil((high - low) / 8));
  const ticks: number[] = [];
  for (let power = low; power <= high; power += step) for (const m of between) ticks.push(m * 10 ** power);
  const seen = ticks.filter((tick) => tick >= from * 0.999 && tick <= to * 1.001);
  return seen.length < 3 ? linearTicks(from, to, count) : seen;
}

const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400];

/** Whole seconds, minutes or hours; parts of a second only where there is less to see. */
export function timeTicks(from: number, to: number, count: number): number[] {
  const rough = (to - from) / Math.max(1, count);
  if (!isTold(from, to, rough)) return [from];
  if (rough < 0.5) return linearTicks(from, to, count);
  const step = rough > 86_400 ? Math.ceil(rough / 86_400) * 86_400 : (SECONDS.find((s) => s >= rough) ?? 1);
  const ticks: number[] = [];
  for (let x = Math.ceil(from / step) * step; x <= to; x += step) ticks.push(x);
  return ticks;
}
