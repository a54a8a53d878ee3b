/** Axes and numbers of a weight matrix on its canvas. */
import { token } from "./canvas";
import { signedIndex, wantsDarkInk, type ColourMap } from "./colour";
import { cellText } from "./numbers";
import { cellCount, inSight, wholeTicks, type Cut } from "./tiles";
import type { Size, View } from "./viewport";

export const MARGIN = { left: 64, top: 34, right: 2, bottom: 2 };
/** From this many pixels a weight on, its number is written. */
export const READABLE = { width: 34, height: 14 };

export function drawNumbers(
  context: CanvasRenderingContext2D,
  view: View,
  stretch: number,
  plot: Size,
  tile: Cut,
  values: ArrayLike<number>,
  scale: number,
  map: ColourMap,
): void {
  const seen = inSight(view, plot, [tile.rows[1], tile.cols[1]], stretch);
  const kx = view.k * stretch;
  const across = cellCount(tile.cols, 1);
  context.font = `${Math.min(13, kx * 0.3, view.k * 0.8)}px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let row = Math.max(seen.rows[0], tile.rows[0]); row < seen.rows[1]; row++) {
    for (let col = Math.max(seen.cols[0], tile.cols[0]); col < seen.cols[1]; col++) {
      const value = values[(row - tile.rows[0]) * across + (col - tile.cols[0])]!;
      context.fillStyle = wantsDarkInk(map[signedIndex(value, scale)]!) ? "#000" : "#fff";
      context.fillText(cellText(value), view.x + (col + 0.5) * kx, view.y + (row + 0.5) * view.k);
    }
  }
}

interface Axes {
  view: View;
  stretch: number;
  plot: Size;
  shape: [number, number];
  parts: [string, number, number][];
  /** How many heads share the rows of each part (or the columns); null where they do not. */
  heads: number | null;
  headsOnColumns: boolean;
  canvas: HTMLCanvasElement;
  words: { out: string; in: string };
}

export function drawAxes(context: CanvasRenderingContext2D, { view, stretch, plot, shape, parts, heads, headsOnColumns, canvas, words }: Axes): void {
  const [ink, faint, strong] = [token(canvas, "--ink-3"), token(canvas, "--line"), token(canvas, "--ink-2")];
  const font = token(canvas, "--font");
  const sight = inSight(view, plot, shape, stretch);
  const kx = view.k * stretch;
  const [right, bottom] = [Math.min(plot.width, view.x + shape[1] * kx), Math.min(plot.height, view.y + shape[0] * view.k)];
  const [left, top] = [Math.max(0, view.x), Math.max(0, view.y)];
  context.save();
  context.translate(MARGIN.left, MARGIN.top);
  context.font = `11px ${font}`;
  context.fillStyle = ink;
  context.strokeStyle = faint;
  context.lineWidth = 1;
  context.strokeRect(left - 0.5, top - 0.5, right - left + 1, bottom - top + 1);

  context.textAlign = "center";
  context.textBaseline = "bottom";
  for (const at of wholeTicks(sight.cols[0], sight.cols[1], (right - left) / 54)) {
    const x = view.x + (at + 0.5) * kx;
    if (x > left && x < right) context.fillText(String(at), x, top - 4);
  }
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const at of wholeTicks(sight.rows[0], sight.rows[1], (bottom - top) / 28)) {
    const y = view.y + (at + 0.5) * view.k;
    if (y > top && y < bottom) context.fillText(String(at), left - 5, y);
  }

  context.textAlign = "left";
  context.textBaseline = "top";
  context.fillText(words.in, left, top - 32);
  context.textAlign = "right";
  context.fillText(words.out, left - 5, top - 32);

  // Parts (queries, keys, values) beside the rows, heads as fine lines: in ink, as blue and red stand for numbers here.
  context.fillStyle = strong;
  context.strokeStyle = strong;
  context.font = `600 12px ${font}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const [name, from, to] of parts) {
    const [y0, y1] = [Math.max(top, view.y + from * view.k), Math.min(bottom, view.y + to * view.k)];
    if (y1 - y0 < 8) continue;
    context.lineWidth = 2;
    stroke(context, left - 36, y0 + 1, left - 36, y1 - 1);
    if (y1 - y0 > 16) context.fillText(name, left - 45, (y0 + y1) / 2);
    if (from > 0 && view.y + from * view.k > top) {
      context.lineWidth = 1;
      stroke(context, left, view.y + from * view.k, right, view.y + from * view.k);
    }
    if (heads && !headsOnColumns)
      headLines(
        context,
        (at) => view.y + at * view.k,
        from,
        to,
        heads,
        [top, bottom],
        (y) => stroke(context, left - 4, y, left + 6, y),
      );
  }
  if (heads && headsOnColumns)
    headLines(
      context,
      (at) => view.x + at * kx,
      0,
      shape[1],
      heads,
      [left, right],
      (x) => stroke(context, x, top - 4, x, top + 6),
    );
  context.restore();
}

function headLines(
  context: CanvasRenderingContext2D,
  place: (at: number) => number,
  from: number,
  to: number,
  heads: number,
  [low, high]: [number, number],
  draw: (at: number) => void,
): void {
  const each = (to - from) / heads;
  if (!Number.isInteger(each)) return;
  context.lineWidth = 1;
  for (let head = 1; head < heads; head++) {
    const at = place(from + head * each);
    if (at > low && at < high) draw(at);
  }
}

function stroke(context: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number): void {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}
