/** Numbers of models: counts with a prefix, shapes, shares. */
import { toNumber, type WireNumber } from "../api";
import { measured, NONE, percent } from "../format";
import { language } from "../i18n/language.svelte";

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

/** A wire number in a few digits; a dash where it is not known. */
export function short(value: WireNumber | undefined, digits = 3): string {
  return value === null || value === undefined ? NONE : measured(toNumber(value), digits);
}

/** A wire number 0–1 as a percentage; a dash where it is not known. */
export function share(value: WireNumber | undefined, decimals = 0): string {
  return value === null || value === undefined ? NONE : percent(toNumber(value), decimals);
}

/** How wide a bar of 0–1 is, in percent: none where there is no number. */
export function barWidth(share: number): number {
  return Number.isFinite(share) ? Math.max(0, Math.min(1, share)) * 100 : 0;
}

/** From the smallest to the largest of what is a number; [0, 0] where nothing is. */
export function rangeOf(values: ArrayLike<number>): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < values.length; i++) {
    if (values[i]! < low) low = values[i]!;
    if (values[i]! > high) high = values[i]!;
  }
  return low > high ? [0, 0] : [low, high];
}

const MOST_DECIMALS = 4;

/**
 * Numbers of one column or axis, all with as many decimals as give the largest `digits` digits: "1.30" above "1.24".
 * What would show no digit at all is written as a power of ten.
 */
export function alike(values: ArrayLike<number>, digits = 3): (value: number) => string {
  const [low, high] = rangeOf(Array.from(values).filter(Number.isFinite));
  const most = Math.max(Math.abs(low), Math.abs(high));
  const wanted = most > 0 ? digits - 1 - Math.floor(Math.log10(most)) : 0;
  if (wanted > MOST_DECIMALS + 1 || most >= 1e6) return (value) => measured(value, digits);
  const decimals = Math.max(0, Math.min(MOST_DECIMALS, wanted));
  const format = new Intl.NumberFormat(language.locale, { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  return (value) =>
    !Number.isFinite(value) || (value !== 0 && Math.abs(value) < 0.5 * 10 ** -decimals) ? measured(value, Math.min(2, digits)) : format.format(value);
}

/** The ends and the middle of a colour scale around zero; "≤" and "≥" where cells go beyond what is coloured. */
export function signedEnds(scale: number, [low, high]: [number, number], digits = 2): string[] {
  const isBeyond = (size: number) => size > scale * (1 + 1e-6);
  return [`${isBeyond(-low) ? "≤ " : ""}${measured(-scale, digits)}`, "0", `${isBeyond(high) ? "≥ " : ""}${measured(scale, digits)}`];
}

/** A weight in few signs, for a cell of a matrix. */
export function cellText(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  const text = size >= 10 ? value.toFixed(1) : size >= 0.001 ? value.toFixed(3) : value.toExponential(0);
  return text.replaceAll("-", "−").replace(/(^|−)0\./, "$1.");
}
