/** Numbers, times and sizes as people of the chosen language write them. */
import { language } from "./i18n/language.svelte";

const made = new Map<string, unknown>();

/** Intl's formatters are slow to make, so each is made once a language. */
function kept<T>(name: string, make: (locale: string) => T): T {
  const key = `${language.locale} ${name}`;
  if (!made.has(key)) made.set(key, make(language.locale));
  return made.get(key) as T;
}

/** What stands where there is no number. */
export const NONE = "–";

export function integer(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  return kept("integer", (l) => new Intl.NumberFormat(l, { maximumFractionDigits: 0 })).format(value);
}

/** A measured number: four significant digits; very small and very large ones as powers of ten. */
export function measured(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined) return NONE;
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(Math.min(2, digits - 1)).replace("e+", "e").replace("-", "−").replace("e-", "e−");
  return kept(`measured ${digits}`, (l) => new Intl.NumberFormat(l, { maximumSignificantDigits: digits })).format(value);
}

/** A share 0–1 as a percentage with two decimals. */
export function percent(value: number | null | undefined, decimals = 2): string {
  if (value === null || value === undefined) return NONE;
  if (!Number.isFinite(value)) return measured(value);
  const options = { style: "percent", minimumFractionDigits: decimals, maximumFractionDigits: decimals } as const;
  return kept(`percent ${decimals}`, (l) => new Intl.NumberFormat(l, options)).format(value);
}

function unit(value: number, name: string): string {
  return spaced(kept(name, (l) => new Intl.NumberFormat(l, { style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: 0 })).format(value));
}

/** Intl sets "2分钟" without a space, where the texts around it have one beside each number. */
function spaced(text: string): string {
  return text.replace(/(\d)(?=\p{Script=Han})/gu, "$1 ");
}

/** Several things in one sentence, as the language strings them together. */
export function listed(items: string[]): string {
  return items.join(language.current === "zh" ? "，" : ", ");
}

/** A length of time in its two largest units: "45 s", "3 min 20 s", "2 h 5 min". */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NONE;
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return unit(s, "second");
  if (s < 3600) return pair(Math.floor(s / 60), "minute", s >= 600 ? 0 : s % 60, "second");
  if (s < 86400) return pair(Math.floor(s / 3600), "hour", Math.floor((s % 3600) / 60), "minute");
  return pair(Math.floor(s / 86400), "day", Math.floor((s % 86400) / 3600), "hour");
}

/** A length of time in its largest unit alone, where there is little room. */
export function shortDuration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NONE;
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return unit(s, "second");
  if (s < 3570) return unit(Math.round(s / 60), "minute");
  return s < 84_600 ? unit(Math.round(s / 3600), "hour") : unit(Math.round(s / 86400), "day");
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small ? `${unit(large, largeUnit)} ${unit(small, smallUnit)}` : unit(large, largeUnit);
}

/** How long ago, in its largest unit: "2 min ago". */
export function ago(iso: string | null | undefined, now: number): string {
  if (!iso) return NONE;
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1000);
  const format = kept("ago", (l) => new Intl.RelativeTimeFormat(l, { numeric: "auto", style: "short" }));
  if (seconds < 45) return format.format(0, "second");
  for (const [name, size, upTo] of AGES) if (seconds < upTo) return spaced(format.format(-Math.round(seconds / size), name));
  return spaced(format.format(-Math.round(seconds / 31_557_600), "year"));
}

const AGES: [Intl.RelativeTimeFormatUnit, number, number][] = [
  ["minute", 60, 3570],
  ["hour", 3600, 84_600],
  ["day", 86_400, 2_592_000],
  ["month", 2_629_800, 31_536_000],
];

/** A moment, to the second; the year where it is another one. */
export function moment(time: string | number | null | undefined): string {
  if (time === null || time === undefined) return NONE;
  const date = new Date(typeof time === "number" ? time * 1000 : time);
  const isThisYear = date.getFullYear() === new Date().getFullYear();
  const options = { month: "short", day: "numeric", hour: "numeric", minute: "2-digit", second: "2-digit", hourCycle: "h23" } as const;
  return kept(`moment ${isThisYear}`, (l) => new Intl.DateTimeFormat(l, isThisYear ? options : { ...options, year: "numeric" })).format(date);
}

/** Bytes in decimal units: "1.2 MB". */
export function bytes(size: number): string {
  const names = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  let power = 0;
  while (size >= 999.5 && power < names.length - 1) {
    size /= 1000;
    power++;
  }
  const options = { style: "unit", unit: names[power]!, unitDisplay: power ? "short" : "long", maximumSignificantDigits: 3 } as const;
  return kept(`bytes ${power}`, (l) => new Intl.NumberFormat(l, options)).format(size);
}

/** How many decimals tell numbers apart that lie `step` from one another. */
export function decimals(step: number): number {
  return Math.min(12, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
}

const SHORT_DIGITS = 4; // "123.4K" is shorter than the number, "123.42K" is not

/** A number along an axis whose largest is `most`, its neighbours `step` away: short, all of one axis alike, no two the same. */
export function tick(value: number, most = Math.abs(value), step = most / 10): string {
  if (value === 0 || step <= 0) return plain(value, 6);
  const digits = significant(value, step);
  if (most < 5e-3 || most >= 1e7) return value.toExponential(Math.min(12, digits - 1)).replace(/\.?0*e/, "e").replace("e+", "e").replaceAll("-", "−");
  if (most < 10_000) return plain(value, decimals(step));
  if (significant(most, step) > SHORT_DIGITS) return plain(value, decimals(step), true);
  return kept(`tick k ${digits}`, (l) => new Intl.NumberFormat(l === "zh-CN" ? "en" : l, { notation: "compact", maximumSignificantDigits: digits })).format(value);
}

/** How many significant digits a number needs to differ from one that is `step` away. */
function significant(value: number, step: number): number {
  return Math.max(1, Math.floor(Math.log10(Math.abs(value)) + 1e-9) - Math.floor(Math.log10(step) + 1e-9) + 1);
}

function plain(value: number, most: number, useGrouping = false): string {
  return kept(`tick ${most} ${useGrouping}`, (l) => new Intl.NumberFormat(l, { maximumFractionDigits: most, useGrouping })).format(value);
}
