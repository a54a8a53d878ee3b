/** A tile of a weight matrix, ready to be drawn. */
import type { Tensor } from "../documents";
import type { Theme } from "../theme.svelte";
import { Mosaic } from "./canvas";
import { diverging, signedIndex } from "./colour";
import { tensor } from "./embeddedSource";
import { rangeOf } from "./numbers";
import { cellCount, type Cut } from "./tiles";
import type { Tile } from "./types";

export interface Shown extends Cut {
  mean: Tensor;
  extreme: Float32Array;
  low: Tensor;
  high: Tensor;
  biases: Tensor | null;
  /** Where most cells end: the colour's scale where contrast is automatic. */
  usual: { mean: number; extreme: number };
  /** From the smallest to the largest cell. */
  range: { mean: [number, number]; extreme: [number, number] };
  whole: number;
  mosaics: Map<string, Mosaic>;
}

export function prepared(got: Tile): Shown {
  const mean = tensor(got.mean);
  const [low, high] = [got.low ? tensor(got.low) : mean, got.high ? tensor(got.high) : mean]; // single weights have neither
  const extreme = Float32Array.from(mean.values, (_, i) => (Math.abs(low.values[i]!) > Math.abs(high.values[i]!) ? low.values[i]! : high.values[i]!));
  return {
    rows: got.rows,
    cols: got.cols,
    cell: got.cell,
    mean,
    low,
    high,
    extreme,
    biases: got.biases ? tensor(got.biases) : null,
    usual: { mean: usualSize(mean.values), extreme: usualSize(extreme) },
    range: { mean: rangeOf(mean.values), extreme: rangeOf(extreme) },
    whole: got.scale,
    mosaics: new Map(),
  };
}

/** The size that 98.5 % of the cells stay below: single outliers do not wash out the rest. */
function usualSize(values: ArrayLike<number>): number {
  const step = Math.max(1, Math.floor(values.length / 20_000));
  const sizes: number[] = [];
  for (let i = 0; i < values.length; i += step) sizes.push(Math.abs(values[i]!));
  sizes.sort((a, b) => a - b);
  return sizes[Math.floor((sizes.length - 1) * 0.985)] || sizes.at(-1) || 1;
}

/** The tile as a picture of its cells, made once for a scale and a theme. */
export function mosaicOf(shown: Shown, cells: "mean" | "extreme", scale: number, theme: Theme): Mosaic {
  const key = `${cells} ${scale} ${theme}`;
  let mosaic = shown.mosaics.get(key);
  if (!mosaic) {
    const [rows, cols] = [cellCount(shown.rows, shown.cell[0]), cellCount(shown.cols, shown.cell[1])];
    const map = diverging(theme);
    const values = cells === "mean" ? shown.mean.values : shown.extreme;
    mosaic = new Mosaic(1, rows, cols);
    mosaic.paint(0, (i) => map[signedIndex(values[i]!, scale)]!);
    mosaic.done();
    shown.mosaics.clear();
    shown.mosaics.set(key, mosaic);
  }
  return mosaic;
}
