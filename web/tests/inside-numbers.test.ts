import { describe, expect, it } from "vitest";
import { unpack } from "../src/documents";
import { BRIGHTNESS, css, diverging, gradient, index, sequential, signedIndex, wantsDarkInk } from "../src/inside/colour";
import { cellText, compact } from "../src/inside/numbers";

/** The IEEE 754 half-precision numbers of Wikipedia's table of examples. */
const HALVES: [bits: number, value: number][] = [
  [0x0000, 0],
  [0x0001, 2 ** -24],
  [0x03ff, 2 ** -14 - 2 ** -24],
  [0x0400, 2 ** -14],
  [0x3555, 0.333251953125],
  [0x3bff, 1 - 2 ** -11],
  [0x3c00, 1],
  [0x3c01, 1 + 2 ** -10],
  [0x7bff, 65504],
  [0x7c00, Infinity],
  [0xc000, -2],
  [0xfc00, -Infinity],
];

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

describe("unpack", () => {
  it("reads half precision", () => {
    const bits = Uint16Array.from(HALVES, ([b]) => b);
    const got = unpack({ dtype: "float16", shape: [HALVES.length], data: base64(new Uint8Array(bits.buffer)) });
    HALVES.forEach(([, value], i) => expect(got.values[i]).toBe(value));
  });

  it("reads half NaN and negative zero", () => {
    const got = unpack({ dtype: "float16", shape: [2], data: base64(new Uint8Array(Uint16Array.of(0x7e00, 0x8000).buffer)) });
    expect(got.values[0]).toBeNaN();
    expect(Object.is(got.values[1], -0)).toBe(true);
  });

  it("reads the other types in C order", () => {
    const floats = Float32Array.of(1.5, -2, 3e9);
    expect([...unpack({ dtype: "float32", shape: [3], data: base64(new Uint8Array(floats.buffer)) }).values]).toEqual([1.5, -2, 3e9]);
    expect([...unpack({ dtype: "int32", shape: [2], data: base64(new Uint8Array(Int32Array.of(-1, 7).buffer)) }).values]).toEqual([-1, 7]);
    expect([...unpack({ dtype: "uint8", shape: [3], data: base64(Uint8Array.of(0, 128, 255)) }).values]).toEqual([0, 128, 255]);
  });
});

/** Relative luminance, as WCAG has it. */
function luminance(word: number): number {
  const [r, g, b] = [word & 255, (word >> 8) & 255, (word >> 16) & 255].map((v) =>
    v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4,
  );
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}

describe("colour maps", () => {
  it.each(["light", "dark"] as const)("sequential on %s begins at the ground and goes away from it evenly", (theme) => {
    const map = sequential(theme);
    expect(map.length).toBe(256);
    const direction = theme === "light" ? -1 : 1;
    expect(luminance(map[0]!) > 0.85).toBe(theme === "light");
    expect(luminance(map[0]!) < 0.03).toBe(theme === "dark");
    for (let i = 8; i < 256; i += 8) expect(direction * (luminance(map[i]!) - luminance(map[i - 8]!))).toBeGreaterThan(0);
  });

  it.each(["light", "dark"] as const)("diverging on %s is blue below, red above, neutral at zero", (theme) => {
    const map = diverging(theme);
    const parts = (word: number) => [word & 255, (word >> 8) & 255, (word >> 16) & 255] as const;
    const [r0, , b0] = parts(map[0]!);
    const [r1, , b1] = parts(map[255]!);
    expect(b0 - r0).toBeGreaterThan(60);
    expect(r1 - b1).toBeGreaterThan(60);
    for (const at of [127, 128]) {
      const [r, g, b] = parts(map[at]!);
      expect(Math.max(r, g, b) - Math.min(r, g, b)).toBeLessThanOrEqual(4);
    }
    expect(Math.abs(luminance(map[0]!) - luminance(map[255]!))).toBeLessThan(0.12);
  });

  it("reaches its ends exactly and clips beyond", () => {
    expect([index(0, 2), index(2, 2), index(5, 2), index(-1, 2), index(NaN, 2), index(1, 0)]).toEqual([0, 255, 255, 0, 0, 0]);
    expect([signedIndex(-3, 3), signedIndex(3, 3), signedIndex(-9, 3), signedIndex(9, 3)]).toEqual([0, 255, 0, 255]);
    expect([signedIndex(0, 3), signedIndex(1e-9, 3), signedIndex(-1e-9, 3), signedIndex(1, 0)]).toEqual([128, 128, 127, 128]);
  });

  it("says colours as CSS does", () => {
    expect(css(0xff0201_03 >>> 0)).toBe("rgb(3 1 2)");
    expect(gradient(sequential("light"), 3).startsWith("linear-gradient(to right, rgb(")).toBe(true);
    expect(BRIGHTNESS).toContain("linear-gradient");
    expect([wantsDarkInk(0xffffffff), wantsDarkInk(0xff000000)]).toEqual([true, false]);
  });

  it.each(["light", "dark"] as const)("writes numbers on %s so that they can be read", (theme) => {
    for (const map of [sequential(theme), diverging(theme)]) {
      for (let i = 0; i < 256; i += 5) {
        const ink = wantsDarkInk(map[i]!) ? 0 : 1;
        const [a, b] = [luminance(map[i]!), ink].sort((x, y) => y - x) as [number, number];
        expect((a + 0.05) / (b + 0.05)).toBeGreaterThan(4.5);
      }
    }
  });
});

describe("numbers", () => {
  it("counts in three digits", () => {
    expect([768, 999.4, 999.6, 21_632_650, 12_247_131_648, 1e15].map(compact)).toEqual(["768", "999", "1 k", "21.6 M", "12.2 G", "1 P"]);
    expect(compact(NaN)).toBe("–");
  });
  it("writes a weight in few signs", () => {
    expect([0, 0.12345, -0.05, 12.34, 0.00001].map(cellText)).toEqual(["0", ".123", "−.050", "12.3", "1e−5"]);
  });
});
