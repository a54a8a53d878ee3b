/** Attention inside windows (swin): a query's map on the layer's own grid of patches. */
import type { Tensor } from "../documents";
import { MEAN } from "./tokens";

export interface Windows {
  /** Windows down and across. */
  rows: number;
  cols: number;
  /** Patches of a window, down and across. */
  height: number;
  width: number;
  /** How far the patches were rolled up and left before they were cut into windows. */
  shift: [number, number];
}

/** `weights` is (W, H, M, M) with square windows. */
export function windowsOf(weights: Tensor, windows: [number, number], shift: number | [number, number] = 0): Windows {
  const side = Math.round(Math.sqrt(weights.shape[2] ?? 1));
  const pair: [number, number] = typeof shift === "number" ? [shift, shift] : shift;
  return { rows: windows[0], cols: windows[1], height: side, width: side, shift: pair };
}

export function gridOf(w: Windows): [rows: number, cols: number] {
  return [w.rows * w.height, w.cols * w.width];
}

/** Into `out` (rows × cols of the layer's grid): where the patch at (row, col) looks. Outside its window all is NaN. */
export function lookInWindow(weights: Tensor, w: Windows, head: number, row: number, col: number, out: Float32Array): Float32Array {
  const [, heads = 1, size = 1] = weights.shape;
  const [gridRows, gridCols] = gridOf(w);
  const rolledRow = modulo(row - w.shift[0], gridRows);
  const rolledCol = modulo(col - w.shift[1], gridCols);
  const [windowRow, windowCol] = [Math.floor(rolledRow / w.height), Math.floor(rolledCol / w.width)];
  const window = windowRow * w.cols + windowCol;
  const query = (rolledRow % w.height) * w.width + (rolledCol % w.width);
  const [first, last] = head === MEAN ? [0, heads] : [head, head + 1];
  out.fill(NaN);
  for (let key = 0; key < size; key++) {
    const r = modulo(windowRow * w.height + Math.floor(key / w.width) + w.shift[0], gridRows);
    const c = modulo(windowCol * w.width + (key % w.width) + w.shift[1], gridCols);
    let sum = 0;
    for (let h = first; h < last; h++) sum += weights.values[((window * heads + h) * size + query) * size + key]!;
    out[r * gridCols + c] = sum / (last - first);
  }
  return out;
}

function modulo(value: number, size: number): number {
  return ((value % size) + size) % size;
}
