/** The part of a matrix that is looked at, as the address holds it: "rows.columns", each "from-to". */
import type { Span } from "./tiles";
import { fit, type Size, type View } from "./viewport";

export function sightText({ rows, cols }: Span): string {
  return [rows, cols].map((span) => span.join("-")).join(".");
}

/** The view that shows what an address names, or null where it names nothing of this matrix. */
export function viewOf(text: string | null, [rows, cols]: [number, number], stretch: number, plot: Size, largest: number): View | null {
  const found = /^(\d+)-(\d+)\.(\d+)-(\d+)$/.exec(text ?? "")?.slice(1).map(Number);
  if (!found) return null;
  const [top, bottom, left, right] = found as [number, number, number, number];
  if (!(top < bottom && bottom <= rows && left < right && right <= cols)) return null;
  const { k } = fit({ width: (right - left) * stretch, height: bottom - top }, plot, { largest });
  const along = (from: number, to: number, room: number, size: number) => room / 2 - ((from + to) / 2) * size;
  return { k, x: along(left, right, plot.width, k * stretch), y: along(top, bottom, plot.height, k) };
}
