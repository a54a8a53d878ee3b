/** What a layout is made of: parts with their ports, put side by side. */
import type { Inside } from "./graph";
import type { Line } from "./route";
import type { Fold, StructureNode } from "./types";

export const HEADER = 28; // of a frame
export const PAD = 12;
export const ENTRY = 22; // from a frame's edge to the first module
export const GAP = 30;
export const SUM = 26; // more room where there is a sum
export const LANE = 13;

export interface Box {
  id: string;
  kind: "leaf" | "frame" | "image" | "tokens" | "result";
  x: number;
  y: number;
  width: number;
  height: number;
  node: StructureNode;
  /** The fold that it stands for. */
  stack: Fold | null;
  canOpen: boolean;
}

export interface Measure {
  /** Width of a text in pixels. */
  (text: string, style: "name" | "small" | "shape"): number;
}

/** What is laid out, in its own coordinates; ports are where the way comes in and goes out. */
export interface Part {
  width: number;
  height: number;
  boxes: Box[];
  lines: Line[];
  sums: { x: number; y: number }[];
  entry: [number, number];
  exit: [number, number];
}

/** A part under the name of its module. */
export interface Named {
  id: string;
  part: Part;
}

export interface Placed {
  part: Part;
  x: number;
  y: number;
}

export function byRank(inside: Inside, parts: Named[]): Named[][] {
  const ranks: Named[][] = [];
  for (const each of parts) (ranks[inside.rank.get(each.id)!] ??= []).push(each);
  return ranks.filter((rank) => rank !== undefined);
}

/** A lane for each arc: those that overlap lie beside one another, the shortest nearest. */
export function lanesOf(inside: Inside, ranks: { id: string }[][]): { of: number[]; count: number } {
  const rankOf = new Map(ranks.flatMap((rank, i) => rank.map(({ id }) => [id, i] as const)));
  const place = (end: string) =>
    end === "in" ? -0.5 : end === "out" ? ranks.length : end.startsWith("+") ? rankOf.get(end.slice(1))! - 0.25 : rankOf.get(end)! + 0.25;
  const spans = inside.arcs.map((arc, i) => ({ i, from: place(arc.from), to: arc.to === "out" ? ranks.length : rankOf.get(arc.to)! - 0.3 }));
  const lanes: { from: number; to: number }[][] = [];
  const of: number[] = [];
  for (const span of [...spans].sort((a, b) => a.to - a.from - (b.to - b.from))) {
    let lane = lanes.findIndex((taken) => taken.every((other) => span.to <= other.from || span.from >= other.to));
    if (lane < 0) lane = lanes.push([]) - 1;
    lanes[lane]!.push(span);
    of[span.i] = lane;
  }
  return { of, count: lanes.length };
}

export function total(rank: { part: Part }[], side: "width" | "height"): number {
  return rank.reduce((sum, { part }) => sum + part[side], 0) + GAP * (rank.length - 1);
}

export function portOf(end: string, at: ReadonlyMap<string, Placed>, port: "entry" | "exit"): [number, number] | null {
  const placed = at.get(end);
  return placed ? [placed.x + placed.part[port][0], placed.y + placed.part[port][1]] : null;
}

export function collect(at: ReadonlyMap<string, Placed>): Pick<Part, "boxes" | "lines" | "sums"> {
  const boxes: Box[] = [];
  const lines: Line[] = [];
  const sums: { x: number; y: number }[] = [];
  for (const { part, x, y } of at.values()) {
    const moved = shifted(part, x, y);
    boxes.push(...moved.boxes);
    lines.push(...moved.lines);
    sums.push(...moved.sums);
  }
  return { boxes, lines, sums };
}

export function shifted(part: Part, dx: number, dy: number): Part {
  return {
    ...part,
    boxes: part.boxes.map((box) => ({ ...box, x: box.x + dx, y: box.y + dy })),
    lines: part.lines.map((each) => ({
      ...each,
      points: each.points.map(([x, y]) => [x + dx, y + dy] as [number, number]),
      label: each.label && { ...each.label, x: each.label.x + dx, y: each.label.y + dy },
    })),
    sums: part.sums.map(({ x, y }) => ({ x: x + dx, y: y + dy })),
    entry: [part.entry[0] + dx, part.entry[1] + dy],
    exit: [part.exit[0] + dx, part.exit[1] + dy],
  };
}
