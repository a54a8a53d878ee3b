import { describe, expect, it } from "vitest";
import type { WireNumber } from "../src/api";
import { xTick, xTicks, yTick, yTicks } from "../src/charts/axes";
import { draw, extentOf, padded, table } from "../src/charts/lines";
import { marksOf, spread } from "../src/charts/marks";
import { bestOf, isSmoothed, panelsOf } from "../src/charts/panels";
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

  it("finds the best epoch among points that stand for several", () => {
    const coarse = fromWire("val/top1", { step: [10, 20, 30], epoch: [10, 20, 30], time: [1, 2, 3], value: [0.5, 0.7, 0.75], low: [0.4, 0.3, 0.7], high: [0.6, 0.9, 0.8], count: 30, is_exact: false });
    expect(bestOf(coarse, undefined)).toMatchObject({ step: 20, top1: 0.9 });
  });

  it("smooths what is measured at each step, and neither epochs nor schedules", () => {
    const many = (count: number, epochs: number) => ({ step: Array.from({ length: count }, (_, i) => i), epoch: Array.from({ length: count }, (_, i) => (i * epochs) / count), time: Array(count).fill(0) as number[], value: Array(count).fill(1) as number[] });
    expect(isSmoothed(fromWire("train/loss", many(100, 10)))).toBe(true);
    expect(isSmoothed(fromWire("/lr", many(100, 10)))).toBe(false);
    expect(isSmoothed(fromWire("val/loss", many(100, 100)))).toBe(false);
    expect(isSmoothed(fromWire("train/loss", many(8, 1)))).toBe(false);
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
    expect(extentOf(lines, 4, 9, false)).toEqual([1.2, 1.5]);
    expect(extentOf(lines, 20, 30, false)).toBeNull();
    expect(padded([3, 3], false)[0]).toBeLessThan(3);
    expect(padded([0, 1], false)[0]).toBe(0);
  });

  it("gives it to a line that only passes through what is seen too", () => {
    const { lines } = draw([{ series: val, colour: "--val" }], "step", 0, 0);
    const [low, high] = extentOf(lines, 5, 7, false)!;
    expect(low).toBeCloseTo(1.275, 12);
    expect(high).toBeCloseTo(1.425, 12);
    const across = draw([{ series: curve("/lr", [0, 10], [1e-4, 1e-2]), colour: "--ink-2" }], "step", 0, 0).lines;
    expect(extentOf(across, 5, 5.5, true)![0]).toBeCloseTo(1e-3, 12);
    const broken = draw([{ series: curve("/x", [0, 5, 10], [1, "NaN", 3]), colour: "--ink-2" }], "step", 0, 0).lines;
    expect(extentOf(broken, 6, 7, false)).toBeNull();
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
    expect(logTicks(1e-5, 1e-1, 5)).toEqual([1e-5, 1e-4, 1e-3, 1e-2, 1e-1].map((x) => expect.closeTo(x, 12) as number));
    expect(timeTicks(0, 300, 5)).toEqual([0, 60, 120, 180, 240, 300]);
  });

  /** Numbers from 0 to 1, the same in every run of the test. */
  function* random(): Generator<number, never> {
    for (let state = 7; ; ) yield (state = (state * 16807) % 2147483647) / 2147483647;
  }

  it("are at least two, and no two have the same label, over all ranges that can be zoomed to", () => {
    const numbers = random();
    const next = () => numbers.next().value;
    for (let i = 0; i < 3000; i++) {
      const from = 10 ** (next() * 10 - 5);
      const to = from * (1 + 10 ** (next() * 6 - 4));
      const labels: [string, string[]][] = [];
      const across = (axis: "step" | "epoch" | "time", a: number, b: number) => {
        const ticks = xTicks(axis, a, b, 6);
        labels.push([`${axis} ${a}–${b}`, ticks.map((x) => xTick(axis, x, ticks))]);
      };
      across("epoch", from, to);
      across("time", from * 1000, to * 1000);
      if (to - from > 4) across("step", from, to);
      for (const isLog of [false, true]) {
        const ticks = yTicks(from, to, 4, isLog);
        labels.push([`y ${from}–${to} ${isLog}`, ticks.map((y) => yTick(y, false, ticks))]);
        if (to <= 1 && !isLog) labels.push([`share ${from}–${to}`, ticks.map((y) => yTick(y, true, ticks))]);
      }
      for (const [name, all] of labels) {
        expect(all.length, name).toBeGreaterThanOrEqual(2);
        expect(new Set(all).size, `${name}: ${all.join(" ")}`).toBe(all.length);
      }
    }
  });

  it("have labels that are as long as they must be", () => {
    const x = (axis: "step" | "time", from: number, to: number) => {
      const ticks = xTicks(axis, from, to, 5);
      return ticks.map((at) => xTick(axis, at, ticks));
    };
    const y = (from: number, to: number, isPercent = false, isLog = false) => {
      const ticks = yTicks(from, to, 3.5, isLog);
      return ticks.map((at) => yTick(at, isPercent, ticks));
    };
    expect(x("step", 0, 40_000)).toEqual(["0", "10K", "20K", "30K", "40K"]);
    expect(x("step", 123_400, 123_500)).toEqual(["123,400", "123,420", "123,440", "123,460", "123,480", "123,500"]);
    expect(x("time", 7200, 7260)).toEqual(["2h00m00", "2h00m15", "2h00m30", "2h00m45", "2h01m00"]);
    expect(x("time", 0, 7200)).toEqual(["0", "30m", "1h", "1h30", "2h"]);
    expect(y(0.00412, 0.00418)).toEqual(["4.12e−3", "4.14e−3", "4.16e−3", "4.18e−3"]);
    expect(y(0, 1, true)).toEqual(["0%", "20%", "40%", "60%", "80%", "100%"]);
    expect(y(0.98333, 0.98341, true)).toEqual(["98.334%", "98.336%", "98.338%", "98.340%"]);
    expect(y(2.1, 4.9, false, true)).toEqual(["3", "4"]);
    expect(y(0.3, 0.45, false, true)).toEqual(["0.3", "0.35", "0.4", "0.45"]);
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

  it("are warnings and errors that came during the training: at a step, or else at a time", () => {
    const told = [
      { time: 0, step: 0, level: "warning" as const, text: "the whole run's" },
      { time: 107, step: null, level: "error" as const, text: "by its time", alert: null },
      { time: 108, step: 5, level: "warning" as const, text: "an alert", alert: "plateau" },
      { time: new Date(90_000).toISOString(), step: null, level: "warning" as const, text: "before it began" },
    ];
    const marks = (axis: "step" | "time") => marksOf({ best: null, attempts: [], notices: told }, axis, clock, axis === "time" ? 100 : 0);
    expect(marks("step").map((m) => [m.text, m.x])).toEqual([["by its time", 3], ["an alert", 5]]);
    expect(marks("step").map((m) => m.alert)).toEqual([undefined, "plateau"]);
    expect(marks("time").map((m) => m.x)).toEqual([6, 10]);
    expect(marksOf({ best: null, attempts: [], notices: told }, "step", undefined, 0).map((m) => m.text)).toEqual(["an alert"]); // the only one with a step
  });

  it("are one where they would lie on one another, and the best stays by itself", () => {
    const marks = marksOf(known, "step", clock, 0);
    expect(spread(marks, (x) => x, 8).map((g) => [g.mark.kind, g.all.length])).toEqual([["notice", 2], ["best", 1]]);
    expect(spread(marks, (x) => x * 100, 8)).toHaveLength(3);
  });
});

describe("the SVG", () => {
  const series = curve("train/loss", [0, 2, 5, 8, 10], [1, 1.5, "NaN", 2, 3]);
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

  const drawn = (xs: number[], ys: WireNumber[], from: number, to: number) => {
    const lines = draw([{ series: curve("val/loss", xs, ys), colour: "--val" }], "step", 0, 0);
    const svg = toSvg({ ...picture, drawing: lines, x: { ...picture.x, from, to } });
    const parsed = new DOMParser().parseFromString(svg, "image/svg+xml");
    return { path: parsed.querySelector("g > path")?.getAttribute("d") ?? "", circles: parsed.querySelectorAll("circle").length };
  };

  it("shows a lone point, and the points of a short line, as the screen does", () => {
    expect(drawn([5], [2], 0, 10)).toEqual({ path: "", circles: 1 });
    expect(drawn([2, 4, 6], [1, 2, 3], 0, 10).circles).toBe(3);
    const long = Array.from({ length: 60 }, (_, i) => i);
    expect(drawn(long, long.map((i) => (i === 30 || i === 32 ? "NaN" : 2)), 0, 60).circles).toBe(1); // 31 stands alone
  });

  it("has the line between two points where neither is in sight", () => {
    const { path } = drawn([0, 10, 20, 30], [1, 2, 3, 1], 12, 14);
    expect(path.match(/[ML]/g)).toEqual(["M", "L"]);
    const [left, right] = path.match(/-?[\d.]+(?= )/g)!.map(Number);
    expect(left).toBeLessThan(56);
    expect(right).toBeGreaterThan(420);
  });

  it("puts values where the axes say", () => {
    const svg = new DOMParser().parseFromString(toSvg(picture), "image/svg+xml");
    const label = (text: string) => [...svg.querySelectorAll("text")].find((t) => t.textContent === text);
    const points = [...svg.querySelectorAll("path")].at(-1)!.getAttribute("d")!.match(/[\d.]+ [\d.]+/g)!.map((p) => p.split(" ").map(Number));
    const [first, last] = [points[0], points.at(-1)];
    expect(first![0]).toBe(Number(label("0")?.getAttribute("x")));
    expect(last![0]).toBe(Number(label("10")?.getAttribute("x")));
    expect(first![1]! + 4).toBeCloseTo(Number(label("1")?.getAttribute("y")), 1);
    expect(last![1]! + 4).toBeCloseTo(Number(label("3")?.getAttribute("y")), 1);
  });
});
