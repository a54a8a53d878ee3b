/**
 * Colour maps for numbers, made in OKLCH so that equal steps of value are equal steps of lightness.
 *
 * Zero lies near the page's ground in both themes, and more is further from it: darker on light, lighter on dark.
 */
import type { Theme } from "../theme.svelte";

/** 256 colours, each a 32-bit word as a canvas's image data holds it (little endian: A B G R). */
export type ColourMap = Uint32Array;

/** Lightness, chroma and hue (degrees) at places from 0 to 1. */
type Stop = [at: number, lightness: number, chroma: number, hue: number];

const SEQUENTIAL: Record<Theme, Stop[]> = {
  light: [
    [0, 0.975, 0.02, 110],
    [0.25, 0.83, 0.11, 155],
    [0.5, 0.64, 0.1, 205],
    [0.75, 0.45, 0.13, 270],
    [1, 0.25, 0.12, 300],
  ],
  dark: [
    [0, 0.2, 0.035, 285],
    [0.25, 0.39, 0.13, 280],
    [0.5, 0.57, 0.11, 225],
    [0.75, 0.76, 0.14, 160],
    [1, 0.94, 0.16, 108],
  ],
};
const DIVERGING: Record<Theme, [negative: Stop[], positive: Stop[]]> = {
  light: [
    [
      [0, 0.985, 0, 255],
      [0.5, 0.74, 0.11, 250],
      [1, 0.4, 0.15, 258],
    ],
    [
      [0, 0.985, 0, 30],
      [0.5, 0.73, 0.13, 35],
      [1, 0.4, 0.155, 28],
    ],
  ],
  dark: [
    [
      [0, 0.22, 0, 255],
      [0.5, 0.5, 0.13, 255],
      [1, 0.84, 0.1, 235],
    ],
    [
      [0, 0.22, 0, 30],
      [0.5, 0.52, 0.16, 32],
      [1, 0.84, 0.11, 55],
    ],
  ],
};

const made = new Map<string, ColourMap>();

function kept(name: string, make: () => ColourMap): ColourMap {
  const known = made.get(name);
  if (known) return known;
  const map = make();
  made.set(name, map);
  return map;
}

/** From 0 (the ground) to 1. */
export function sequential(theme: Theme): ColourMap {
  return kept(`sequential ${theme}`, () => Uint32Array.from({ length: 256 }, (_, i) => colour(SEQUENTIAL[theme], i / 255)));
}

/** On a picture more is lighter in both themes: it is a lamp that shows where to look, on ground of its own. */
export const ON_PICTURE_THEME: Theme = "dark";

/** From −1 (blue) over 0 (the ground) to +1 (red). Entries 127 and 128 are the two sides of zero. */
export function diverging(theme: Theme): ColourMap {
  const [negative, positive] = DIVERGING[theme];
  return kept(`diverging ${theme}`, () =>
    Uint32Array.from({ length: 256 }, (_, i) => (i < 128 ? colour(negative, (127 - i) / 127) : colour(positive, (i - 128) / 127))),
  );
}

/** The entry of a value in −scale … scale of a diverging map; what lies outside is at the end. */
export function signedIndex(value: number, scale: number): number {
  if (!(scale > 0) || Number.isNaN(value)) return 128;
  const share = Math.max(-1, Math.min(1, value / scale));
  return share < 0 ? 127 - Math.round(-share * 127) : 128 + Math.round(share * 127);
}

/** The entry of a value in 0 … scale of a sequential map. */
export function index(value: number, scale: number): number {
  if (!(scale > 0) || Number.isNaN(value)) return 0;
  return Math.max(0, Math.min(255, Math.round((value / scale) * 255)));
}

export function css(word: number): string {
  return `rgb(${word & 255} ${(word >> 8) & 255} ${(word >> 16) & 255})`;
}

/** A CSS gradient of a map from left to right. */
export function gradient(map: ColourMap, steps = 17): string {
  const colours = Array.from({ length: steps }, (_, i) => css(map[Math.round((i / (steps - 1)) * 255)]!));
  return `linear-gradient(to right, ${colours.join(", ")})`;
}

/** What dims a picture: from hidden to as it is. */
export const BRIGHTNESS = "linear-gradient(to right, #0d0f12, #f4f5f7)";

/** Whether black is read better than white on a colour. */
export function wantsDarkInk(word: number): boolean {
  const [r, g, b] = [word & 255, (word >> 8) & 255, (word >> 16) & 255].map((v) => (v <= 10 ? v / 3294 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b! > 0.179; // where black and white are told equally well, 4.6 : 1
}

function colour(stops: Stop[], at: number): number {
  let after = stops.findIndex((stop) => stop[0] >= at);
  after = Math.max(1, after < 0 ? stops.length - 1 : after);
  const a = stops[after - 1]!;
  const b = stops[after]!;
  const share = (at - a[0]) / (b[0] - a[0]);
  const mix = (i: 1 | 2 | 3) => a[i] + share * (b[i] - a[i]);
  return fromOklch(mix(1), mix(2), mix(3));
}

/** Björn Ottosson's OKLab (2020) to sRGB, clipped. */
function fromOklch(lightness: number, chroma: number, hue: number): number {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const red = 4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s;
  const green = -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s;
  const blue = -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s;
  return ((255 << 24) | (byte(blue) << 16) | (byte(green) << 8) | byte(red)) >>> 0;
}

function byte(linear: number): number {
  const v = Math.max(0, Math.min(1, linear));
  return Math.round(255 * (v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055));
}
