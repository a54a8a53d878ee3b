/** Widths of texts, as the page draws them. */
import type { Measure } from "./arrange";

const FONTS = { name: "600 13px", small: "11px", shape: "11px" } as const;
const WIDTHS = { name: 7.4, small: 6.1, shape: 6.7 } as const; // where there is no canvas
let context: CanvasRenderingContext2D | null | undefined;
const known = new Map<string, number>();

export const measure: Measure = (text, style) => {
  const key = `${style} ${text}`;
  const before = known.get(key);
  if (before !== undefined) return before;
  if (context === undefined) context = "CanvasRenderingContext2D" in globalThis ? document.createElement("canvas").getContext("2d") : null;
  let width = text.length * WIDTHS[style];
  if (context) {
    const families = getComputedStyle(document.documentElement);
    context.font = `${FONTS[style]} ${families.getPropertyValue(style === "shape" ? "--mono" : "--font") || "sans-serif"}`;
    width = context.measureText(text).width;
  }
  known.set(key, width);
  return width;
};

/** A text that is no wider than `room`, with … where something is left out. */
export function shortened(text: string, room: number, style: Parameters<Measure>[1]): string {
  if (measure(text, style) <= room) return text;
  let keep = text.length - 1;
  while (keep > 1 && measure(`${text.slice(0, keep)}…`, style) > room) keep--;
  return `${text.slice(0, keep)}…`;
}
