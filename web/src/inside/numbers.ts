/** Numbers of models: counts with a prefix, shapes, shares. */
import { measured, NONE } from "../format";
import { number, type Wire } from "./types";

const PREFIXES = ["", " k", " M", " G", " T", " P"];

/** A count in three digits: 21.6 M, 12.2 G, 768. */
export function compact(value: number): string {
  if (!Number.isFinite(value)) return NONE;
  let power = 0;
  let rest = value;
  while (Math.abs(rest) >= 999.5 && power < PREFIXES.length - 1) {
    rest /= 1000;
    power++;
  }
  return `${power === 0 ? String(Math.round(rest)) : String(Number(rest.toPrecision(3)))}${PREFIXES[power]}`;
}

/** A wire number in a few digits. */
export function short(value: Wire | undefined, digits = 3): string {
  return value === null || value === undefined ? NONE : measured(number(value), digits);
}

/** A weight in few signs, for a cell of a matrix. */
export function cellText(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  const text = size >= 10 ? value.toFixed(1) : size >= 0.001 ? value.toFixed(3) : value.toExponential(0);
  return text.replaceAll("-", "−").replace(/(^|−)0\./, "$1.");
}
