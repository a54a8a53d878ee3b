/** Mosaics, legends and figures, apart from the page. */
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

vi.hoisted(() => {
  Object.assign(globalThis, {
    matchMedia: () => ({ matches: false, addEventListener: () => undefined }),
    ResizeObserver: class {
      observe() {}
      unobserve() {}
      disconnect() {}
    },
  });
});

import { inside } from "../src/i18n/inside";
import { language, texts } from "../src/i18n/language.svelte";
import { Mosaic } from "../src/inside/canvas";
import { alike, signedEnds } from "../src/inside/numbers";
import { counted } from "../src/inside/plural";
import { translated } from "../src/inside/reasons";
import { sightText, viewOf } from "../src/inside/sight";
import { inSight } from "../src/inside/tiles";
import { begin, end, Recorder } from "./inside-model";

beforeEach(begin);
afterEach(() => {
  end();
  language.set("en");
});

describe("a mosaic", () => {
  it("of 1,369 maps of 37 × 37 stays within what browsers draw, and gives each map back", () => {
    const mosaic = new Mosaic(1369, 37, 37);
    for (let i = 0; i < 1369; i++) mosaic.paint(i, (j) => (0xff000000 | (i << 8) | j % 256) >>> 0);
    mosaic.done();
    const target = new Recorder(document.createElement("canvas"));
    mosaic.draw(target as never, 1368, 0, 0, 10, 10);
    const { from, source } = target.drawn[0]!;
    expect(Math.max(from!.canvas.width, from!.canvas.height)).toBeLessThanOrEqual(4096);
    expect(source.slice(2)).toEqual([37, 37]);
    expect(from!.pixel(source[0]! + 3, source[1]! + 1)).toEqual([40, 1368 & 255, 1368 >> 8, 255]);
  });
});

describe("a colour scale", () => {
  it("says at which end cells go beyond it", () => {
    expect(signedEnds(0.5, [-0.5, 1])).toEqual(["-0.5", "0", "≥ 0.5"]);
    expect(signedEnds(0.5, [-0.7, 0.2])).toEqual(["≤ -0.5", "0", "0.5"]);
    expect(signedEnds(0.5, [-0.5, 0.5])).toEqual(["-0.5", "0", "0.5"]);
  });
});

describe("numbers beneath one another", () => {
  it("have their decimals in common", () => {
    expect([23, 23.94].map(alike([23, 23.94]))).toEqual(["23.0", "23.9"]);
    expect([1.3, 1.24].map(alike([1.3, 1.24]))).toEqual(["1.30", "1.24"]);
    expect([0, 120, 240].map(alike([0, 120, 240]))).toEqual(["0", "120", "240"]);
  });
  it("never round to nothing", () => {
    const format = alike([0.02, 0.00001], 2);
    expect(format(0.00001)).not.toMatch(/^[0.]+$/);
    expect(alike([3e-7, 2e-7])(3e-7)).toContain("e");
  });
});

describe("counted words", () => {
  it("agree with their count", () => {
    const t = texts(inside);
    const said = (count: number) => counted(t("overSample", { count }), count);
    expect(said(1)).toContain("over 1 picture;");
    expect(said(2)).toContain("over 2 pictures;");
    language.set("zh");
    expect(said(1)).toContain("1 张图片");
  });
  it("leave no brackets in any text", () => {
    for (const key of Object.keys(inside.en) as (keyof typeof inside.en)[]) expect(counted(inside.en[key], 2)).not.toMatch(/\[[^\]]*\|/);
  });
});

describe("reasons of the server", () => {
  it("are told in the page's language, with their names", () => {
    const t = texts(inside);
    const reason = "Only 3 of its 12 attention layers show their weights.";
    expect(translated(reason, t)).toBe(reason);
    language.set("zh");
    expect(translated(reason, t)).toBe("它的 12 个注意力层中只有 3 个给出权重。");
    expect(translated("Something new.", t)).toBe("Something new.");
  });
});

describe("the part of a matrix in the address", () => {
  const plot = { width: 500, height: 400 };
  it("comes back as it was written", () => {
    const view = viewOf("100-180.40-140", [1152, 384], 1, plot, 40)!;
    const sight = inSight(view, plot, [1152, 384]);
    expect(sight).toEqual({ rows: [100, 180], cols: [40, 140] });
    expect(viewOf(sightText(sight), [1152, 384], 1, plot, 40)).toEqual(view);
  });
  it("is nothing where it names nothing of this matrix", () => {
    for (const text of [null, "", "1-2", "5-2.0-4", "0-9999.0-4", "a-b.c-d"]) expect(viewOf(text, [1152, 384], 1, plot, 40)).toBeNull();
  });
});

describe("the dots of heads", () => {
  it("stand out from the ground 3 to 1, in both themes", () => {
    const [heads, tokens] = ["inside/HeadStatistics.svelte", "tokens.css"].map((name) => readFileSync(`src/${name}`, "utf8")) as [string, string];
    const opacity = Number(/\.dot \{[^}]*fill-opacity: ([\d.]+)/.exec(heads)![1]);
    const [light, dark] = tokens.split('[data-theme="dark"]') as [string, string];
    for (const theme of [light, dark]) {
      const colour = (name: string) => [1, 3, 5].map((i) => parseInt(new RegExp(`--${name}: (#\\w+)`).exec(theme)![1]!.slice(i, i + 2), 16));
      const [ground, accent] = [colour("ground"), colour("accent")];
      const mixed = accent.map((v, i) => v * opacity + ground[i]! * (1 - opacity));
      const [a, b] = [luminance(mixed), luminance(ground)];
      expect((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)).toBeGreaterThanOrEqual(3);
    }
  });
});

/** Relative luminance, as WCAG has it. */
function luminance(rgb: number[]): number {
  const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}
