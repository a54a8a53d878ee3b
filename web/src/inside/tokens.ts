/** Which token stands for what, and what a token's row or column of the attention matrix says. */
import type { Tensor } from "../documents";

/** Stands for "the mean over all heads" and "the mean over all queries". */
export const MEAN = -1;

export interface TokenGrid {
  /** Tokens before the patches: the class token first where there is one, then registers. */
  prefix: number;
  hasClassToken: boolean;
  /** Whether the classifier reads that token; else the mean of the patches is what the answer comes from. */
  readsClassToken: boolean;
  rows: number;
  cols: number;
}

export type Direction = "from" | "to";

export interface Place {
  row: number;
  col: number;
}

/** Where a token's patch is; null for a prefix token. */
export function placeOf(token: number, grid: TokenGrid): Place | null {
  const patch = token - grid.prefix;
  if (token < 0 || patch < 0 || patch >= grid.rows * grid.cols) return null;
  return { row: Math.floor(patch / grid.cols), col: patch % grid.cols };
}

export function tokenAt(row: number, col: number, grid: TokenGrid): number {
  const inside = (value: number, count: number) => Math.max(0, Math.min(count - 1, value));
  return grid.prefix + inside(row, grid.rows) * grid.cols + inside(col, grid.cols);
}

export function tokenCount(grid: TokenGrid): number {
  return grid.prefix + grid.rows * grid.cols;
}

/**
 * Into `out` (N,): how a query shares its attention among all tokens (`from`), or how much each query gives a token
 * (`to`). `weights` is (H, Q, N); a head of MEAN is the mean over all, a token of MEAN the mean over the patches, which
 * follow `prefix` other tokens. Where only one token looks (Q = 1), the token is not asked for.
 */
export function look(weights: Tensor, head: number, token: number, direction: Direction, out: Float32Array, prefix = 0): Float32Array {
  const [heads = 0, queries = 0, keys = 0] = weights.shape;
  const { values } = weights;
  const [first, last] = head === MEAN ? [0, heads] : [head, head + 1];
  out.fill(0);
  for (let h = first; h < last; h++) {
    const base = h * queries * keys;
    if (direction === "from") addRows(values, base, keys, queries === 1 ? [0, 1] : token === MEAN ? [prefix, queries] : [token, token + 1], out);
    else addColumns(values, base, queries, keys, token === MEAN ? [prefix, keys] : [token, token + 1], out);
  }
  const count = last - first;
  if (count > 1) for (let i = 0; i < out.length; i++) out[i]! /= count;
  return out;
}

function addRows(values: Tensor["values"], base: number, keys: number, [from, to]: number[], out: Float32Array): void {
  const share = 1 / (to! - from!);
  for (let q = from!; q < to!; q++) {
    const row = base + q * keys;
    for (let k = 0; k < keys; k++) out[k]! += values[row + k]! * share;
  }
}

function addColumns(values: Tensor["values"], base: number, queries: number, keys: number, [from, to]: number[], out: Float32Array): void {
  const share = 1 / (to! - from!);
  for (let k = from!; k < to!; k++) for (let q = 0; q < queries; q++) out[q]! += values[base + q * keys + k]! * share;
}

/**
 * Where the scale of a map ends: the value that only one patch in a hundred is above. A few tokens that draw a hundred
 * times the attention of all others (Darcet et al. 2024) would leave the rest of the map dark. Of few patches, the largest.
 */
export function reach(values: ArrayLike<number>): number {
  const above = Math.floor(values.length / 100);
  const top = new Float64Array(above + 1).fill(-Infinity); // the largest so far, smallest first
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!(value > top[0]!)) continue;
    let at = 0;
    while (at < above && top[at + 1]! < value) {
      top[at] = top[at + 1]!;
      at++;
    }
    top[at] = value;
  }
  // Where nearly all is in those few, they are what there is to see.
  return Math.max(top[0]!, top[above]! * 1e-3, 0);
}

/** The largest value from `start` on, and where it is. */
export function largest(values: ArrayLike<number>, start = 0, end = values.length): { value: number; at: number } {
  let value = -Infinity;
  let at = start;
  for (let i = start; i < end; i++) {
    if (values[i]! > value) {
      value = values[i]!;
      at = i;
    }
  }
  return { value, at };
}
