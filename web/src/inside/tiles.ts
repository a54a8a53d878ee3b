/** Which part of a weight matrix is in sight, and which part to ask for. World units are weights: x columns, y rows. */
import { linearTicks } from "../charts/ticks";
import type { Size, View } from "./viewport";

export interface Span {
  rows: [from: number, to: number];
  cols: [from: number, to: number];
}

export interface Cut extends Span {
  cell: [number, number];
}

/**
 * The weights that are in sight, whole ones. Empty spans where the matrix is out of sight. A weight is `stretch` times as
 * wide as high.
 */
export function inSight(view: View, screen: Size, shape: [number, number], stretch = 1): Span {
  const along = (offset: number, room: number, count: number, size: number): [number, number] => {
    const from = Math.max(0, Math.min(count, Math.floor(-offset / size)));
    return [from, Math.max(from, Math.min(count, Math.ceil((room - offset) / size)))];
  };
  return { rows: along(view.y, screen.height, shape[0], view.k), cols: along(view.x, screen.width, shape[1], view.k * stretch) };
}

const MOST_STRETCH = 3;

/** How much wider than high a weight is drawn, so that a long matrix fills its place. */
export function stretchOf([rows, cols]: [number, number], plot: Size): number {
  return Math.max(1 / MOST_STRETCH, Math.min(MOST_STRETCH, plot.width / plot.height / (cols / rows)));
}

/**
 * What to ask for: what is in sight and a little around it, with edges on a raster, so that small movements ask for
 * nothing new and the same part is asked for by the same words.
 */
export function around(sight: Span, shape: [number, number]): Span {
  const along = ([from, to]: [number, number], count: number): [number, number] => {
    const length = Math.max(1, to - from);
    const raster = 2 ** Math.max(0, Math.ceil(Math.log2(length / 8)));
    return [Math.max(0, Math.floor((from - length / 8) / raster) * raster), Math.min(count, Math.ceil((to + length / 8) / raster) * raster)];
  };
  return { rows: along(sight.rows, shape[0]), cols: along(sight.cols, shape[1]) };
}

export function covers(tile: Span, sight: Span): boolean {
  return tile.rows[0] <= sight.rows[0] && tile.rows[1] >= sight.rows[1] && tile.cols[0] <= sight.cols[0] && tile.cols[1] >= sight.cols[1];
}

/** Whether a tile shows what is in sight as finely as `most` cells a side can. */
export function isFineEnough(tile: Cut, sight: Span, most: number): boolean {
  const wanted = around(sight, [Infinity, Infinity]);
  const finest = (span: [number, number]) => Math.max(1, Math.ceil((span[1] - Math.max(0, span[0])) / most));
  return tile.cell[0] <= finest(wanted.rows) && tile.cell[1] <= finest(wanted.cols);
}

/** How many cells a span of weights makes; the last may be smaller. */
export function cellCount([from, to]: [number, number], cell: number): number {
  return Math.ceil((to - from) / cell);
}

/** Row and column of the cell over a weight, and the weights that it stands for. */
export function cellAt(tile: Cut, row: number, col: number): { at: number; rows: [number, number]; cols: [number, number] } | null {
  if (row < tile.rows[0] || row >= tile.rows[1] || col < tile.cols[0] || col >= tile.cols[1]) return null;
  const r = Math.floor((row - tile.rows[0]) / tile.cell[0]);
  const c = Math.floor((col - tile.cols[0]) / tile.cell[1]);
  const span = (start: number, i: number, cell: number, end: number): [number, number] => [start + i * cell, Math.min(end, start + (i + 1) * cell)];
  return {
    at: r * cellCount(tile.cols, tile.cell[1]) + c,
    rows: span(tile.rows[0], r, tile.cell[0], tile.rows[1]),
    cols: span(tile.cols[0], c, tile.cell[1], tile.cols[1]),
  };
}

/** Whole numbers for about `count` places along an axis. */
export function wholeTicks(from: number, to: number, count: number): number[] {
  return linearTicks(from, to, Math.min(count, to - from)).filter((at) => Number.isInteger(at) && at < to);
}
