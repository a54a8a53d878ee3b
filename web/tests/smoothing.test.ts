import { describe, expect, it } from "vitest";
import { padded } from "../src/charts/lines";
import { smooth } from "../src/charts/smoothing";
import { linearTicks } from "../src/charts/ticks";

/** The definition: a mean of all values so far, each weighing (1 − β^n)·β^(units since). */
function byDefinition(values: number[], n: number[], unit: number, beta: number): number[] {
  return values.map((_, k) => {
    let sum = 0;
    let weight = 0;
    for (let i = 0; i <= k; i++) {
      const since = n.slice(i + 1, k + 1).reduce((a, b) => a + b, 0) / unit;
      const w = (1 - beta ** (n[i]! / unit)) * beta ** since;
      sum += w * values[i]!;
      weight += w;
    }
    return sum / weight;
  });
}

const noisy = Array.from({ length: 60 }, (_, i) => Math.sin(i * 12.9898) * 3 + i / 10);

describe("smooth", () => {
  it("is the weighted mean of its definition", () => {
    const ones = noisy.map(() => 1);
    for (const beta of [0.3, 0.9, 0.99]) {
      const wanted = byDefinition(noisy, ones, 1, beta);
      smooth(noisy, ones, noisy.length, beta).forEach((value, i) => expect(value).toBeCloseTo(wanted[i]!, 10));
    }
  });

  it("for a short curve is TensorBoard's debiased mean", () => {
    const beta = 0.6;
    let last = 0;
    const wanted = noisy.map((value, i) => {
      last = last * beta + (1 - beta) * value;
      return last / (1 - beta ** (i + 1));
    });
    smooth(noisy, noisy.map(() => 1), noisy.length, beta).forEach((value, i) => expect(value).toBeCloseTo(wanted[i]!, 10));
  });

  it("begins at the first value and leaves a constant as it is", () => {
    expect(smooth([4, 4, 4], [1, 1, 1], 3, 0.9)).toEqual([4, 4, 4]);
    expect(smooth([7, 1], [1, 1], 2, 0.9)[0]).toBeCloseTo(7, 12);
  });

  it("leaves a constant that binary numbers do not have a line with an axis", () => {
    const values = Array.from({ length: 200 }, () => 0.1);
    const out = smooth(values, values.map(() => 1), 200, 0.8);
    const [low, high] = padded([Math.min(...out), Math.max(...out)], false);
    expect(low).toBeLessThan(0.099);
    expect(high).toBeGreaterThan(0.101);
    const ticks = linearTicks(low, high, 4);
    expect(ticks.length).toBeGreaterThanOrEqual(2);
    expect(ticks.length).toBeLessThanOrEqual(12);
  });

  it("is the same line whether the values come one by one or in means of ten", () => {
    const count = 100_000;
    const beta = 0.9;
    const fine = Array.from({ length: count }, (_, i) => 1 / (1 + i / 5000) + 0.1 * Math.sin(i * 78.233));
    const coarse = Array.from({ length: count / 10 }, (_, i) => fine.slice(10 * i, 10 * i + 10).reduce((a, b) => a + b, 0) / 10);
    const a = smooth(fine, fine.map(() => 1), count, beta);
    const b = smooth(coarse, coarse.map(() => 10), count, beta);
    for (let i = 200; i < b.length; i += 97) expect(b[i]).toBeCloseTo(a[10 * i + 9]!, 3);
  });

  it("leaves out what is no number, and goes on after it", () => {
    const out = smooth([1, NaN, Infinity, 1], [1, 1, 1, 1], 4, 0.5);
    expect(out[0]).toBe(1);
    expect(out[1]).toBeNaN();
    expect(out[2]).toBeNaN();
    expect(out[3]).toBeCloseTo(1, 12);
  });

  it("without smoothing changes nothing", () => {
    expect(smooth(noisy, noisy.map(() => 1), noisy.length, 0)).toBe(noisy);
  });
});
