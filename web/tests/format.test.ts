import { afterEach, describe, expect, it } from "vitest";
import { ago, bytes, duration, integer, measured, percent, shortDuration, tick } from "../src/format";
import { language } from "../src/i18n/language.svelte";

afterEach(() => language.set("en"));

const NOW = Date.parse("2026-06-15T12:00:00Z");
const before = (seconds: number) => new Date(NOW - seconds * 1000).toISOString();

describe("formats", () => {
  it("numbers", () => {
    expect(integer(1234567)).toBe("1,234,567");
    expect(integer(null)).toBe("–");
    expect(measured(0.123456)).toBe("0.1235");
    expect(measured(0)).toBe("0");
    expect(measured(0.00012345)).toBe("1.23e−4");
    expect(measured(-2.5e9)).toBe("−2.50e9");
    expect([NaN, Infinity, -Infinity].map((x) => measured(x))).toEqual(["NaN", "∞", "−∞"]);
    expect(percent(0.98333)).toBe("98.33%");
    expect(percent(NaN)).toBe("NaN");
    expect(percent(null)).toBe("–");
  });

  it("lengths of time, in two units at most", () => {
    expect([3, 59.6, 125, 3599, 7500, 90_000].map((s) => duration(s))).toEqual(["3 sec", "1 min", "2 min 5 sec", "59 min", "2 hr 5 min", "1 day 1 hr"]);
    expect(duration(null)).toBe("–");
    expect([30, 200, 3590, 7000].map((s) => shortDuration(s))).toEqual(["30 sec", "3 min", "1 hr", "2 hr"]);
    language.set("zh");
    expect(duration(7500)).toBe("2 小时 5 分钟");
  });

  it("ages", () => {
    expect([5, 120, 7200, 86_400 * 3].map((s) => ago(before(s), NOW))).toEqual(["now", "2 min. ago", "2 hr. ago", "3 days ago"]);
    expect(ago(null, NOW)).toBe("–");
    language.set("zh");
    expect(ago(before(7200), NOW)).toBe("2 小时前");
    expect(shortDuration(120)).toBe("2 分钟"); // a number has the same space before it everywhere
  });

  it("sizes in decimal units", () => {
    expect([210, 999, 1500, 2_481_332, 5e9].map(bytes)).toEqual(["210 bytes", "999 bytes", "1.5 kB", "2.48 MB", "5 GB"]);
  });

  it("ticks of one axis alike", () => {
    expect([0, 5000, 10_000, 20_000].map((x) => tick(x, 20_000))).toEqual(["0", "5K", "10K", "20K"]);
    expect([0, 5e-4, 1e-3].map((x) => tick(x, 1e-3))).toEqual(["0", "5e−4", "1e−3"]);
    expect([0, 0.5, 1].map((x) => tick(x, 1))).toEqual(["0", "0.5", "1"]);
  });
});
