import { describe, expect, it } from "vitest";
import type { Tensor } from "../src/documents";
import { largest, look, MEAN, placeOf, reach, tokenAt, tokenCount, type TokenGrid } from "../src/inside/tokens";
import { lookInWindow, windowsOf } from "../src/inside/windows";

/** Two heads, three tokens (a class token and two patches): rows are queries. */
const WEIGHTS: Tensor = {
  shape: [2, 3, 3],
  values: Float32Array.of(0.5, 0.25, 0.25, 0, 1, 0, 0.125, 0.375, 0.5, /* head 1 */ 0, 0.5, 0.5, 0.25, 0.25, 0.5, 1, 0, 0),
};
const out = () => new Float32Array(3);

describe("rows and columns of the packed matrix", () => {
  it("a row says where a token looks", () => {
    expect([...look(WEIGHTS, 0, 2, "from", out())]).toEqual([0.125, 0.375, 0.5]);
    expect([...look(WEIGHTS, 1, 0, "from", out())]).toEqual([0, 0.5, 0.5]);
  });
  it("a column says who looks at a token", () => {
    expect([...look(WEIGHTS, 0, 1, "to", out())]).toEqual([0.25, 1, 0.375]);
    expect([...look(WEIGHTS, 1, 2, "to", out())]).toEqual([0.5, 0.5, 0]);
  });
  it("the mean over heads, and over queries", () => {
    expect([...look(WEIGHTS, MEAN, 0, "from", out())]).toEqual([0.25, 0.375, 0.375]);
    const rows = [...look(WEIGHTS, 0, MEAN, "from", out())];
    expect(rows[0]).toBeCloseTo(0.625 / 3, 6);
    expect(rows.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 6);
  });
  it("the mean over the patches leaves out the tokens before them", () => {
    expect([...look(WEIGHTS, 0, MEAN, "from", out(), 1)]).toEqual([0.0625, 0.6875, 0.25]);
    expect([...look(WEIGHTS, 0, MEAN, "to", out(), 1)]).toEqual([0.25, 0.5, 0.4375]);
  });
  it("where only the class token looks, there is one row", () => {
    const only: Tensor = { shape: [1, 1, 3], values: Float32Array.of(0.2, 0.3, 0.5) };
    expect([...look(only, 0, 2, "from", out())].map((v) => Math.round(v * 10))).toEqual([2, 3, 5]);
  });
});

describe("places", () => {
  const grid: TokenGrid = { prefix: 5, hasClassToken: true, readsClassToken: true, rows: 2, cols: 3 };
  it("prefix tokens have none, patches come row by row", () => {
    expect(tokenCount(grid)).toBe(11);
    expect([0, 4, 5, 8, 10, 11, MEAN].map((token) => placeOf(token, grid))).toEqual([
      null,
      null,
      { row: 0, col: 0 },
      { row: 1, col: 0 },
      { row: 1, col: 2 },
      null,
      null,
    ]);
  });
  it("back again, held inside", () => {
    for (let token = 5; token < 11; token++) {
      const { row, col } = placeOf(token, grid)!;
      expect(tokenAt(row, col, grid)).toBe(token);
    }
    expect(tokenAt(-1, 99, grid)).toBe(7);
  });
});

describe("where a scale ends", () => {
  it("is the largest of few", () => expect(reach([0.1, 0.4, 0.2])).toBe(0.4));
  it("leaves one in a hundred above", () => {
    const values = Float64Array.from({ length: 256 }, (_, i) => ((i * 37) % 256) / 1000);
    values[40] = 5;
    values[41] = 7;
    const sorted = [...values].sort((a, b) => b - a);
    expect(reach(values)).toBe(sorted[2]); // two of 256 are above
  });
  it("shows what there is where the rest is nothing", () => {
    const values = new Float64Array(256);
    values[3] = 1;
    expect(reach(values)).toBeGreaterThan(0);
    expect(reach(new Float64Array(256))).toBe(0);
  });
  it("leaves out what is no number", () => expect(reach([NaN, 0.5, NaN])).toBe(0.5));
  it("largest tells where", () => expect(largest([3, 9, 4], 0)).toEqual({ value: 9, at: 1 }));
});

describe("windows", () => {
  // A 4 × 4 grid in windows of 2 × 2; each query gives all to the key with the same number in its window.
  const identity: Tensor = { shape: [4, 1, 4, 4], values: new Float32Array(64) };
  for (let w = 0; w < 4; w++) for (let m = 0; m < 4; m++) identity.values[(w * 4 + m) * 4 + m] = 1;

  it("a patch that looks at itself is found at its own place, shifted or not", () => {
    for (const shift of [0, 1] as const) {
      const windows = windowsOf(identity, [2, 2], shift);
      for (let row = 0; row < 4; row++)
        for (let col = 0; col < 4; col++) {
          const got = lookInWindow(identity, windows, 0, row, col, new Float32Array(16));
          expect(got[row * 4 + col]).toBe(1);
          expect([...got].filter((value) => !Number.isNaN(value))).toHaveLength(4);
        }
    }
  });
  it("a window is where the rolled picture has it", () => {
    // torch.roll(x, (-1, -1)) puts patch (1, 1) first: its window holds rows and columns 1 and 2.
    const got = lookInWindow(identity, windowsOf(identity, [2, 2], [1, 1]), 0, 1, 1, new Float32Array(16));
    const inside = [...got.keys()].filter((i) => !Number.isNaN(got[i]!));
    expect(inside).toEqual([5, 6, 9, 10]);
  });
});
