/** A chart as an SVG file, drawn from its data: what a paper or a slide takes. */
import { arePoints, isOnScale, type Drawing, type Line } from "./lines";
import { firstAbove } from "./series";

export interface Picture {
  title: string;
  drawing: Drawing;
  width: number;
  height: number;
  x: { from: number; to: number; ticks: number[]; words: (x: number) => string; label: string };
  y: { from: number; to: number; ticks: number[]; words: (y: number) => string; isLog: boolean };
  legend: { label: string; colour: string }[];
  lines: { x: number; colour: string }[]; // upright, dashed
  /** The value of a token: the file knows no style sheet. */
  colour: (token: string) => string;
  font: string;
}

const M = { left: 56, right: 16, top: 64, bottom: 40 };

export function toSvg(p: Picture): string {
  const wide = p.width - M.left - M.right;
  const high = p.height - M.top - M.bottom;
  const scale = p.y.isLog ? Math.log10 : (y: number) => y;
  const [low, top] = [scale(p.y.from), scale(p.y.to)];
  const px = (x: number) => round(M.left + ((x - p.x.from) / (p.x.to - p.x.from)) * wide);
  const py = (y: number) => round(M.top + (1 - (scale(y) - low) / (top - low)) * high);
  const ink = p.colour("--ink-3");
  const parts: string[] = [];

  for (const y of p.y.ticks) {
    parts.push(`<line x1="${M.left}" x2="${M.left + wide}" y1="${py(y)}" y2="${py(y)}" stroke="${p.colour("--line")}"/>`);
    parts.push(`<text x="${M.left - 8}" y="${py(y) + 4}" text-anchor="end" fill="${ink}">${escape(p.y.words(y))}</text>`);
  }
  for (const x of p.x.ticks) parts.push(`<text x="${px(x)}" y="${M.top + high + 16}" text-anchor="middle" fill="${ink}">${escape(p.x.words(x))}</text>`);
  parts.push(`<line x1="${M.left}" x2="${M.left + wide}" y1="${M.top + high}" y2="${M.top + high}" stroke="${p.colour("--line")}"/>`);
  parts.push(`<text x="${M.left + wide}" y="${M.top + high + 32}" text-anchor="end" fill="${ink}">${escape(p.x.label)}</text>`);

  for (const { x, colour } of p.lines) {
    if (x >= p.x.from && x <= p.x.to) parts.push(`<line x1="${px(x)}" x2="${px(x)}" y1="${M.top}" y2="${M.top + high}" stroke="${p.colour(colour)}" stroke-dasharray="3 3"/>`);
  }

  // What lies outside is cut off by the clip path: lines lead there, as on the screen.
  const near = (line: Line) => ({ ...line, ...seen(line, p.x.from, p.x.to) });
  const isDrawn = (y: number) => isOnScale(y, p.y.isLog);
  parts.push(`<g clip-path="url(#plot)" fill="none" stroke-width="1.75" stroke-linejoin="round">`);
  p.drawing.lines.forEach((line, i) => {
    const colour = p.colour(line.colour);
    if (line.part === "low") return;
    if (line.part === "high") {
      const under = p.drawing.lines[i + 1];
      if (under?.part === "low") parts.push(`<path d="${band(near(line), near(under), px, py, isDrawn)}" fill="${colour}" fill-opacity="0.16" stroke="none"/>`);
      return;
    }
    const faint = line.part === "faint" ? ' stroke-opacity="0.3" stroke-width="1"' : "";
    const { d, alone } = path(near(line), px, py, isDrawn, arePoints(line));
    if (d) parts.push(`<path d="${d}" stroke="${colour}"${faint}/>`);
    for (const [x, y] of alone) parts.push(`<circle cx="${x}" cy="${y}" r="2.5" fill="${colour}"${line.part === "faint" ? ' fill-opacity="0.3"' : ""}/>`);
  });
  parts.push("</g>");

  for (const gap of p.drawing.gaps) {
    if (gap.x < p.x.from || gap.x > p.x.to) continue;
    const sign = Number.isNaN(gap.value) ? "×" : gap.value > 0 ? "▲" : "▼";
    parts.push(`<text x="${px(gap.x)}" y="${M.top - 4}" text-anchor="middle" fill="${p.colour(gap.colour)}">${sign}</text>`);
  }

  let at = M.left;
  for (const { label, colour } of p.legend) {
    parts.push(`<line x1="${at}" x2="${at + 14}" y1="36" y2="36" stroke="${p.colour(colour)}" stroke-width="2"/>`);
    parts.push(`<text x="${at + 20}" y="40" fill="${p.colour("--ink-2")}">${escape(label)}</text>`);
    at += 36 + widthOf(label);
  }

  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${p.width}" height="${p.height}" viewBox="0 0 ${p.width} ${p.height}" font-family="${escape(p.font)}" font-size="12">`,
    `<title>${escape(p.title)}</title>`,
    `<defs><clipPath id="plot"><rect x="${M.left}" y="${M.top}" width="${wide}" height="${high}"/></clipPath></defs>`,
    `<rect width="${p.width}" height="${p.height}" fill="${p.colour("--ground")}"/>`,
    `<text x="${M.left}" y="20" font-size="14" font-weight="600" fill="${p.colour("--ink")}">${escape(p.title)}</text>`,
    ...parts,
    "</svg>",
  ].join("\n");
}

type Place = (value: number) => number;

/** The points of a range, and the one before and after, to which its lines lead. */
function seen({ xs, ys }: Line, from: number, to: number): { xs: number[]; ys: number[] } {
  const [first, end] = [Math.max(0, firstAbove(xs, from, true) - 1), firstAbove(xs, to, false) + 1];
  return { xs: xs.slice(first, end), ys: ys.slice(first, end) };
}

/** A line, broken where there is no number, and its points: all, or those that are no part of a line. */
function path(line: Line, px: Place, py: Place, isDrawn: (y: number) => boolean, areAll: boolean): { d: string; alone: [number, number][] } {
  let d = "";
  const alone: [number, number][] = [];
  const at = (i: number) => i >= 0 && i < line.ys.length && isDrawn(line.ys[i]!);
  line.xs.forEach((x, i) => {
    if (!at(i)) return;
    const place: [number, number] = [px(x), py(line.ys[i]!)];
    if (at(i - 1)) d += `L${place.join(" ")}`;
    else if (at(i + 1)) d += `M${place.join(" ")}`;
    if (areAll || !(at(i - 1) || at(i + 1))) alone.push(place);
  });
  return { d, alone };
}

function band(upper: Line, lower: Line, px: Place, py: Place, isDrawn: (y: number) => boolean): string {
  const drawn = upper.xs.flatMap((_, i) => (isDrawn(upper.ys[i]!) && isDrawn(lower.ys[i]!) ? [i] : []));
  const over = drawn.map((i) => `${px(upper.xs[i]!)} ${py(upper.ys[i]!)}`);
  const under = drawn.map((i) => `${px(lower.xs[i]!)} ${py(lower.ys[i]!)}`).reverse();
  return drawn.length ? `M${over.join("L")}L${under.join("L")}Z` : "";
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** About how wide a word is at 12 px; Chinese characters are twice as wide. */
function widthOf(text: string): number {
  return [...text].reduce((sum, letter) => sum + (letter.charCodeAt(0) > 0x2e80 ? 12 : 6.5), 0);
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]!);
}
