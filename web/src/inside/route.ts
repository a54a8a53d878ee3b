/** The ways of edges, as points and as SVG paths. */
import type { Arc } from "./graph";

export interface Line {
  id: string;
  kind: "flow" | "residual";
  points: [x: number, y: number][];
  shape: number[];
  hasArrow: boolean;
  label: { x: number; y: number; anchor: "start" | "middle" } | null;
}

export function line(arc: Arc, points: [number, number][], hasArrow: boolean, label: Line["label"]): Line {
  return { id: `${arc.from} ${arc.to} ${arc.kind}`, kind: arc.kind, points, shape: arc.shape, hasArrow, label };
}

/** A polyline with rounded corners, as an SVG path. */
export function rounded(points: readonly [number, number][], radius = 6): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let path = `M${first[0]} ${first[1]}`;
  rest.forEach(([x, y], i) => {
    const after = rest[i + 1];
    if (!after) {
      path += `L${x} ${y}`;
      return;
    }
    const before = points[i]!;
    const r = Math.min(radius, distance(before, [x, y]) / 2, distance([x, y], after) / 2);
    const [ax, ay] = towards([x, y], before, r);
    const [bx, by] = towards([x, y], after, r);
    path += `L${ax} ${ay}Q${x} ${y} ${bx} ${by}`;
  });
  return path;
}

function distance([ax, ay]: readonly [number, number], [bx, by]: readonly [number, number]): number {
  return Math.hypot(ax - bx, ay - by);
}

function towards([x, y]: readonly [number, number], target: readonly [number, number], by: number): [number, number] {
  const length = distance([x, y], target);
  return length === 0 ? [x, y] : [x + ((target[0] - x) / length) * by, y + ((target[1] - y) / length) * by];
}
