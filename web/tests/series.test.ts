import { describe, expect, it } from "vitest";
import { append, compact, fromWire, isExact, merge, nearest, truncate, without, type Series } from "../src/charts/series";

/** A curve that was recorded at each step from `from` to `to`, in buckets of `size`: its value at step k is f(k). */
function recorded(from: number, to: number, size = 1, f: (k: number) => number = (k) => k): Series {
  const steps = Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const buckets = [];
  for (let i = 0; i < steps.length; i += size) buckets.push(steps.slice(i, i + size));
  const mean = (xs: number[]) => xs.reduce((a, b) => a + b, 0) / xs.length;
  const values = buckets.map((b) => b.map(f));
  return fromWire("train/loss", {
    step: buckets.map((b) => b.at(-1)!),
    epoch: buckets.map((b) => b.at(-1)! / 10),
    time: buckets.map((b) => 1000 + b.at(-1)!),
    value: values.map(mean),
    low: values.map((v) => Math.min(...v)),
    high: values.map((v) => Math.max(...v)),
    count: steps.length,
    is_exact: size === 1,
  });
}

const lengths = (s: Series) => new Set([s.step, s.epoch, s.time, s.value, s.low, s.high, s.n].map((xs) => xs.length));
const total = (s: Series) => s.n.reduce((a, b) => a + b, 0);

describe("a series from the wire", () => {
  it("knows split and name, reads texts as numbers, and how many values a point stands for", () => {
    const s = fromWire("/lr", { step: [1, 2, 3], epoch: [1, "NaN", null], time: [1, 2, 3], value: ["NaN", "-Infinity", "Infinity"] });
    expect([s.split, s.name]).toEqual(["", "lr"]);
    expect(s.value).toEqual([NaN, -Infinity, Infinity]);
    expect(s.low).toEqual(s.value);
    expect(isExact(s)).toBe(true);
    const coarse = recorded(1, 100, 10);
    expect(coarse.n).toEqual(Array(10).fill(10));
    expect(isExact(coarse)).toBe(false);
  });
});

describe("append", () => {
  it("adds what is newer and counts it", () => {
    const s = append(recorded(1, 10), recorded(11, 14));
    expect(s.step).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    expect(s.count).toBe(14);
    expect(lengths(s).size).toBe(1);
  });

  it("leaves out what is there already, wherever the two overlap", () => {
    for (let from = 1; from <= 11; from++) {
      const s = append(recorded(1, 10), recorded(from, 12));
      expect(s.step).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
      expect(s.count).toBe(12);
    }
  });

  it("keeps a second value of the same step when it is newer", () => {
    const one = recorded(5, 5);
    expect(append(one, { ...one, time: [one.time[0]! + 1] }).step).toEqual([5, 5]);
  });

  it("does not change its arguments", () => {
    const s = recorded(1, 3);
    append(s, recorded(4, 5));
    expect(s.step).toEqual([1, 2, 3]);
  });
});

describe("truncate, when a resume goes back", () => {
  it("drops what was recorded after the step, and the next attempt goes on from there", () => {
    const back = truncate(recorded(1, 20), 12);
    expect(back.step.at(-1)).toBe(12);
    expect(back.count).toBe(12);
    const on = append(back, recorded(13, 15, 1, (k) => -k));
    expect(on.value.slice(-4)).toEqual([12, -13, -14, -15]);
  });

  it("leaves a curve alone that ends before, and empties one that begins after", () => {
    const s = recorded(1, 5);
    expect(truncate(s, 5)).toBe(s);
    expect(truncate(s, 0).step).toEqual([]);
  });
});

describe("without", () => {
  it("drops the steps that were recorded anew, and no point that stands for others too", () => {
    const s = without(recorded(1, 10), [9, 10, 11]);
    expect([s.step.at(-1), s.count]).toEqual([8, 8]);
    expect(append(s, recorded(9, 10, 1, (k) => -k)).value.slice(-3)).toEqual([8, -9, -10]);
    expect(without(recorded(1, 100, 10), [100]).step).toHaveLength(10);
  });
});

describe("compact", () => {
  const f = (k: number) => Math.sin(k);

  it("keeps at most so many points, the newest as they are, and neither mean, extremes nor count change", () => {
    const s = recorded(1, 4001, 1, f);
    const c = compact(s, 4000);
    expect(c.value.length).toBeLessThanOrEqual(4000);
    expect(c.step.slice(-1000)).toEqual(s.step.slice(-1000));
    expect(lengths(c).size).toBe(1);
    expect(total(c)).toBe(4001);
    expect(c.count).toBe(4001);
    const mean = (x: Series) => x.value.reduce((sum, v, i) => sum + v * x.n[i]!, 0) / total(x);
    expect(mean(c)).toBeCloseTo(mean(s), 12);
    expect(Math.min(...c.low)).toBe(Math.min(...s.value));
    expect(Math.max(...c.high)).toBe(Math.max(...s.value));
    expect(c.step).toEqual([...c.step].sort((a, b) => a - b));
    expect(isExact(c)).toBe(false);
  });

  it("stays bounded through a long run, and does nothing to a short one", () => {
    let s = recorded(1, 10);
    expect(compact(s, 100)).toBe(s);
    for (let k = 11; k <= 5000; k++) s = compact(append(s, recorded(k, k)), 200);
    expect(s.value.length).toBeLessThanOrEqual(200);
    expect(total(s)).toBe(5000);
    expect(s.step.at(-1)).toBe(5000);
  });

  it("never hides that a value was no number", () => {
    const s = recorded(1, 300, 1, (k) => (k === 17 ? NaN : k));
    expect(compact(s, 200).value.some(Number.isNaN)).toBe(true);
  });
});

describe("merge", () => {
  it("puts the finer points in the place of the coarse ones, on each axis", () => {
    const whole = recorded(1, 100, 10);
    const fine = recorded(31, 60);
    for (const [axis, from, to] of [["step", 31, 60], ["epoch", 3.1, 6], ["time", 1031, 1060]] as const) {
      const s = merge(whole, fine, axis, from, to);
      expect(s.step).toEqual([10, 20, 30, ...Array.from({ length: 30 }, (_, i) => 31 + i), 70, 80, 90, 100]);
      expect(lengths(s).size).toBe(1);
      expect(s.count).toBe(100);
    }
  });
});

describe("nearest", () => {
  it("agrees with looking at every point", () => {
    const xs = [0, 1, 1, 4, 9, 16];
    for (let x = -3; x < 20; x += 0.37) {
      const smallest = Math.min(...xs.map((each) => Math.abs(each - x)));
      expect(Math.abs(xs[nearest(xs, x)]! - x)).toBeCloseTo(smallest, 12);
    }
    expect(nearest([], 1)).toBe(-1);
  });
});
