/** The words and ticks of an axis. */
import { decimals, duration, integer, measured, percent, tick } from "../format";
import type { Axis } from "./series";
import { linearTicks, logTicks, timeTicks } from "./ticks";

export function xTicks(axis: Axis, from: number, to: number, count: number): number[] {
  if (axis === "time") return timeTicks(from, to, count);
  return linearTicks(from, to, count).filter((x) => axis !== "step" || Number.isInteger(x));
}

export function xTick(axis: Axis, value: number, ticks: number[]): string {
  return axis === "time" ? clockTime(value, stepOf(ticks)) : tick(value, mostOf(ticks), stepOf(ticks));
}

/** The smallest distance between two ticks; their labels have the digits that tell these apart. 0 for a lone one. */
function stepOf(ticks: number[]): number {
  const steps = ticks.slice(1).map((tick, i) => Math.abs(tick - ticks[i]!));
  return steps.length ? Math.min(...steps) : 0;
}

function mostOf(ticks: number[]): number {
  return Math.max(...ticks.map(Math.abs));
}

/** A place on the axis in words; the axis's name is said beside it. */
export function xWords(axis: Axis, value: number): string {
  if (axis === "time") return duration(value);
  return axis === "step" ? integer(Math.round(value)) : measured(value);
}

export function yTicks(from: number, to: number, count: number, isLog: boolean): number[] {
  return isLog ? logTicks(from, to, count) : linearTicks(from, to, count);
}

export function yTick(value: number, isPercent: boolean, ticks: number[]): string {
  const step = stepOf(ticks);
  return isPercent ? percent(value, decimals(100 * (step || 1))) : tick(value, mostOf(ticks), step);
}

export function yWords(value: number, isPercent: boolean): string {
  return isPercent ? percent(value) : measured(value);
}

/** "45s", "2m30", "1h30", "2h00m10": short enough for a tick, and the same in every language. */
function clockTime(seconds: number, step: number): string {
  if (step > 0 && step < 1) return `${tick(seconds, seconds, step)}s`;
  const s = Math.round(seconds);
  const two = (part: number) => String(part).padStart(2, "0");
  if (s >= 3600 && step > 0 && step < 60) return `${Math.floor(s / 3600)}h${two(Math.floor((s % 3600) / 60))}m${two(s % 60)}`;
  const [large, small, unit] = s < 60 ? [s, 0, "s"] : s < 3600 ? [Math.floor(s / 60), s % 60, "m"] : [Math.floor(s / 3600), Math.floor((s % 3600) / 60), "h"];
  return `${large}${s === 0 ? "" : unit}${small ? two(small) : ""}`;
}
