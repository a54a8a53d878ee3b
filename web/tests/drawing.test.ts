import { describe, expect, it } from "vitest";
import type { WireNumber } from "../src/api";
import { draw, extentOf, padded, table } from "../src/charts/lines";
import { marksOf, spread } from "../src/charts/marks";
import { bestOf, panelsOf } from "../src/charts/panels";
import { fromWire } from "../src/charts/series";
import { toSvg } from "../src/charts/svg";
import { linearTicks, logTicks, timeTicks } from "../src/charts/ticks";

const curve = (key: string, step: number[], value: WireNumber[], count = value.length) =>
  fromWire(key, { step, epoch: step.map((k) => k / 4), time: step.map((k) => 100 + 2 * k), value, count, is_exact: count === value.length });

describe("panels", () => {
  it("has one a metric, splits together, the important first, and what is not known under its own name", () => {
    const panels = panelsOf(["/lr", "test/loss", "val/top1", "train/loss", "val/loss", "calibration/ece", "/images_per_s", "/grad_norm", "/memory_gb"]);
    expect(panels.map((p) => [p.name, p.group])).toEqual([
      ["loss", "main"], ["top1", "main"], ["lr", "more"], ["grad_norm", "more"], ["images_per_s", "more"], ["ece", "other"], ["memory_gb", "other"],
    ]);
    expect(panels[0]!.keys).toEqual(["train/loss", "val/loss", "test/loss"]);
  });

  it("finds the best epoch: accuracy, then loss, then the first", () => {
    const top1 = curve("val/top1", [4, 8, 12, 16, 20], [0.5, 0.8, 0.8, 0.8, "NaN"]);
    const loss = curve("val/loss", [4, 8, 12, 16, 20], [1, 0.9, 0.7, 0.7, 0.1]);
    expect(bestOf(top1, loss)).toMatchObject({ step: 12, top1: 0.8, epoch: 3 });
    expect(bestOf(top1, undefined)).toMatchObject({ step: 8 });
    expect(bestOf(undefined, loss)).toBeNull();
  });
});

describe("lines", () => {
  const train = curve("train/loss", Array.from({ length: 40 }, (_, i) => i + 1), Array.from({ length: 40 }, (_, i) => (i === 9 ? "NaN" : 2 - i / 40)));
  const val = curve("val/loss", [4, 8], [1.5, 1.2]);

  it("smooths what is recorded each step and draws the values faint behind it, and leaves epochs alone", () => {
    const { lines, gaps } = draw([{ series: train, colour: "--train" }, { series: val, colour: "--val" }], "step", 0, 0.5);
    expect(lines.map((l) => [l.key, l.part])).toEqual([["train/loss", "faint"], ["val/loss", "value"], ["train/loss", "smooth"]]);
    expect(gaps).toEqual([{ key: "train/loss", colour: "--train", x: 10, value: NaN }]);
    expect(draw([{ series: train, colour: "--train" }], "step", 0, 0).lines.map((l) => l.part)).toEqual(["value"]);
  });

  it("has a band where points stand for several values", () => {
    const coarse = curve("/grad_norm", [10, 20], [1, 2], 20);
    expect(draw([{ series: coarse, colour: "--ink-2" }], "step", 0, 0).lines.map((l) => l.part)).toEqual(["high", "low", "value"]);
  });

  it("makes one table: undefined where a line has no point, null where it has no number", () => {
    const { lines } = draw([{ series: train, colour: "--train" }, { series: val, colour: "--val" }], "time", 100, 0);
    const [xs, first, second] = table(lines, false);
    expect(xs).toEqual(Array.from({ length: 40 }, (_, i) => 2 * (i + 1)));
    const [v, t] = [first!, second!];
    expect(v[3]).toBe(1.5);
    expect(v[4]).toBeUndefined();
    expect(t[9]).toBeNull();
    expect(t[10]).toBe(1.75);
  });

  it("on a logarithmic scale has no zero", () => {
    const { lines } = draw([{ series: curve("/lr", [1, 2, 3], [0, 1e-4, 1e-3]), colour: "--ink-2" }], "step", 0, 0);
    expect(table(lines, true)[1]).toEqual([null, 1e-4, 1e-3]);
    expect(extentOf(lines, 0, 10, true)).toEqual([1e-4, 1e-3]);
    const [low, high] = padded([1e-4, 1e-3], true);
    expect(low).toBeGreaterThan(0);
    expect(high).toBeGreaterThan(1e-3);
  });

  it("gives the room to what is seen", () => {
    const { lines } = draw([{ series: val, colour: "--val" }], "step", 0, 0);
    expect(extentOf(lines, 5, 9, false)).toEqual([1.2, 1.2]);
    expect(extentOf(lines, 20, 30, false)).toBeNull();
    expect(padded([3, 3], false)[0]).toBeLessThan(3);
    expect(padded([0, 1], false)[0]).toBe(0);
  });

  it("takes rounding errors for a flat line", () => {
    const [low, high] = padded([100, 100.00000000000001], false);
    expect(low).toBeLessThan(99);
    expect(high).toBeGreaterThan(101);
    expect(linearTicks(low, high, 3.5).length).toBeGreaterThanOrEqual(2);
  });
});

describe("ticks", () => {
  it("are round, inside, and about as many as asked", () => {
    for (const [from, to] of [[0, 1], [0.0013, 0.0091], [0, 24_000], [-3, 7], [99.2, 99.9]] as const) {
      const ticks = linearTicks(from, to, 5);
      expect(ticks.length).toBeGreaterThanOrEqual(2);
      expect(ticks.length).toBeLessThanOrEqual(12);
      for (const tick of ticks) {
        expect(tick).toBeGreaterThanOrEqual(from - 1e-9);
        expect(tick).toBeLessThanOrEqual(to + 1e-9);
        expect(String(Math.abs(tick)).length).toBeLessThanOrEqual(7);
      }
    }
    expect(logTicks(1e-5, 1e-1)).toEqual([1e-5, 1e-4, 1e-3, 1e-2, 1e-1].map((x) => expect.closeTo(x, 12) as number));
    expect(timeTicks(0, 300, 5)).toEqual([0, 60, 120, 180, 240, 300]);
  });

  it.each([
    [100, 100.00000000000001],
    [1e17, 1e17 + 100],
    [-1e300, 1e300],
    [0, Infinity],
    [NaN, 1],
    [2, 1],
  ])("end between %d and %d, where numbers may lie too far apart for them", (from, to) => {
    expect(linearTicks(from, to, 5).length).toBeLessThanOrEqual(12);
    expect(timeTicks(from, to, 5).length).toBeLessThanOrEqual(12);
  });
});

describe("marks", () => {
  const clock = curve("train/loss", [1, 2, 3, 4, 5, 6, 7, 8], [1, 1, 1, 1, 1, 1, 1, 1]);
  const known = {
    best: 8,
    attempts: [{ attempt: 1, from_step: 0 }, { attempt: 2, from_step: 4 }],
    notices: [{ time: 0, step: 2, level: "warning" as const, text: "w" }, { time: 0, step: 3, level: "info" as const, text: "i" }],
  };

  it("lie where they happened on each axis; the first attempt and mere information are none", () => {
    expect(marksOf(known, "step", clock, 0).map((m) => [m.kind, m.x])).toEqual([["resume", 4], ["notice", 2], ["best", 8]]);
    expect(marksOf(known, "epoch", clock, 0).map((m) => m.x)).toEqual([1, 0.5, 2]);
    expect(marksOf(known, "time", clock, 100).map((m) => m.x)).toEqual([8, 4, 16]);
  });

  it("are one where they would lie on one another, and the best stays by itself", () => {
    const marks = marksOf(known, "step", clock, 0);
    expect(spread(marks, (x) => x, 8).map((g) => [g.mark.kind, g.all.length])).toEqual([["notice", 2], ["best", 1]]);
    expect(spread(marks, (x) => x * 100, 8)).toHaveLength(3);
  });
});

describe("the SVG", () => {
  const series = curve("train/loss", [0, 5, 10], [1, "NaN", 3]);
  const drawing = draw([{ series, colour: "--train" }], "step", 0, 0);
  const picture = {
    title: "a <b> & c", drawing, width: 420, height: 300,
    x: { from: 0, to: 10, ticks: [0, 5, 10], words: String, label: "Step" },
    y: { from: 1, to: 3, ticks: [1, 3], words: String, isLog: false },
    legend: [{ label: "train", colour: "--train" }], lines: [{ x: 5, colour: "--ink-2" }],
    colour: (token: string) => `rgb(${token.length},0,0)`, font: '"Noto Sans", sans-serif',
  };

  it("is well-formed, shows names as text, breaks a line at what is no number and marks it", () => {
    const svg = new DOMParser().parseFromString(toSvg(picture), "image/svg+xml");
    expect(svg.querySelector("parsererror")).toBeNull();
    expect(svg.querySelector("title")?.textContent).toBe("a <b> & c");
    expect(svg.querySelectorAll("b")).toHaveLength(0);
    const path = [...svg.querySelectorAll("path")].at(-1)?.getAttribute("d") ?? "";
    expect(path.match(/M/g)).toHaveLength(2);
    expect([...svg.querySelectorAll("text")].map((t) => t.textContent)).toContain("×");
  });

  it("puts values where the axes say", () => {
    const svg = new DOMParser().parseFromString(toSvg(picture), "image/svg+xml");
    const label = (text: string) => [...svg.querySelectorAll("text")].find((t) => t.textContent === text);
    const [first, last] = [...svg.querySelectorAll("path")].at(-1)!.getAttribute("d")!.match(/[\d.]+ [\d.]+/g)!.map((p) => p.split(" ").map(Number));
    expect(first![0]).toBe(Number(label("0")?.getAttribute("x")));
    expect(last![0]).toBe(Number(label("10")?.getAttribute("x")));
    expect(first![1]! + 4).toBeCloseTo(Number(label("1")?.getAttribute("y")), 1);
    expect(last![1]! + 4).toBeCloseTo(Number(label("3")?.getAttribute("y")), 1);
  });
});
