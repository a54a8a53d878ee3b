/** The words and ticks of an axis. */
import { duration, integer, measured, percent, tick } from "../format";
import type { Axis } from "./series";
import { linearTicks, logTicks, timeTicks } from "./ticks";

export function xTicks(axis: Axis, from: number, to: number, count: number): number[] {
  if (axis === "time") return timeTicks(from, to, count);
  return linearTicks(from, to, count).filter((x) => axis !== "step" || Number.isInteger(x));
}

export function xTick(axis: Axis, value: number, ticks: number[]): string {
  return axis === "time" ? clockTime(value) : tick(value, Math.max(...ticks.map(Math.abs)));
}

/** A place on the axis in words; the axis's name is said beside it. */
export function xWords(axis: Axis, value: number): string {
  if (axis === "time") return duration(value);
  return axis === "step" ? integer(Math.round(value)) : measured(value);
}

export function yTicks(from: number, to: number, count: number, isLog: boolean): number[] {
  return isLog ? logTicks(from, to) : linearTicks(from, to, count);
}

export function yTick(value: number, isPercent: boolean, ticks: number[]): string {
  if (!isPercent) return tick(value, Math.max(...ticks.map(Math.abs)));
  const step = ticks.length > 1 ? Math.abs(ticks[1]! - ticks[0]!) : 1;
  return percent(value, step < 0.001 ? 2 : step < 0.0099 ? 1 : 0);
}

export function yWords(value: number, isPercent: boolean): string {
  return isPercent ? percent(value) : measured(value);
}

/** "45s", "2m", "2m30", "1h", "1h30": short enough for a tick, and the same in every language. */
function clockTime(seconds: number): string {
  const s = Math.round(seconds);
  const [large, small, unit] = s < 60 ? [s, 0, "s"] : s < 3600 ? [Math.floor(s / 60), s % 60, "m"] : [Math.floor(s / 3600), Math.floor((s % 3600) / 60), "h"];
  return `${large}${s === 0 ? "" : unit}${small ? String(small).padStart(2, "0") : ""}`;
}
