/** A module's inside from top to bottom; what passes others by runs at its left. */
import {
  byRank,
  collect,
  GAP,
  HEADER,
  ENTRY,
  LANE,
  lanesOf,
  PAD,
  portOf,
  SUM,
  total,
  type Measure,
  type Named,
  type Part,
  type Placed,
} from "./arrange";
import type { Inside } from "./graph";
import { shapeText } from "./labels";
import { line } from "./route";

/** `fromSide`: the way comes in at the left of the frame and leaves at its right. */
export function column(
  inside: Inside,
  parts: Named[],
  { hasFrame, fromSide, measure }: { hasFrame: boolean; fromSide: boolean; measure: Measure },
): Part {
  const ranks = byRank(inside, parts);
  const lanes = lanesOf(inside, ranks);
  const left = PAD + (lanes.count ? lanes.count * LANE + 4 : 0);
  const axis = left + Math.max(0, ...ranks.map((rank) => (rank.length === 1 ? rank[0]!.part.entry[0] : total(rank, "width") / 2)));
  const head = hasFrame ? HEADER : PAD;
  const start = fromSide && hasFrame ? head + 12 : head; // where the way begins, on the axis
  let y = start + (hasFrame ? ENTRY : 0);
  let right = 0;
  const at = new Map<string, Placed>();
  ranks.forEach((rank, i) => {
    if (i > 0) y += GAP;
    if (rank.some(({ id }) => inside.sums.has(id))) y += SUM;
    let x = rank.length === 1 ? axis - rank[0]!.part.entry[0] : axis - total(rank, "width") / 2;
    for (const { id, part } of rank) {
      at.set(id, { part, x, y });
      x += part.width + GAP;
      right = Math.max(right, x - GAP);
    }
    y += Math.max(...rank.map(({ part }) => part.height));
  });
  if (inside.sums.has("out")) y += SUM + 8;
  const end = hasFrame ? y + (fromSide ? ENTRY : ENTRY - 2) : y;
  const height = hasFrame && fromSide ? end + PAD : hasFrame ? end : y + PAD;
  const labels = Math.max(0, ...inside.flows.map((flow) => measure(shapeText(flow.shape), "shape") + 10));
  const width = Math.max(right + PAD, axis + labels + PAD);
  const entry: [number, number] = fromSide ? [0, start] : [axis, 0];
  const exit: [number, number] = fromSide ? [width, end] : [axis, height];
  const made = collect(at);

  const joint = (target: string) => (target === "out" ? end - 18 : at.get(target)!.y - 22);
  for (const flow of inside.flows) {
    const from = portOf(flow.from, at, "exit");
    const to = portOf(flow.to, at, "entry");
    const points: [number, number][] = [];
    if (from) points.push(from);
    else
      points.push(
        ...(fromSide
          ? ([
              [0, start],
              [axis, start],
            ] as [number, number][])
          : ([[axis, hasFrame ? HEADER : 0]] as [number, number][])),
      );
    if (to) {
      const [x0, y0] = points.at(-1)!;
      if (x0 !== to[0]) points.push([x0, (y0 + to[1]) / 2], [to[0], (y0 + to[1]) / 2]);
      points.push(to);
    } else {
      const [x0] = points.at(-1)!;
      if (fromSide) points.push([x0, end], [width, end]);
      else
        points.push(
          ...(x0 === axis
            ? []
            : ([
                [x0, end - 8],
                [axis, end - 8],
              ] as [number, number][])),
          [axis, height],
        );
    }
    // At the top of the gap, so that a sum below stays free.
    const [lx, ly] = flow.from === "in" ? [axis, start + (inside.sums.has(flow.to) ? 8 : ENTRY / 2)] : [from![0], from![1] + GAP / 2];
    const hasLabel = flow.to !== "out" && !(flow.from === "in" && !hasFrame);
    made.lines.push(
      line(
        flow,
        points,
        flow.to !== "out" && at.get(flow.to)?.part.boxes[0]?.kind !== "frame",
        hasLabel ? { x: lx + 7, y: ly, anchor: "start" } : null,
      ),
    );
  }
  inside.arcs.forEach((arc, i) => {
    const x = left - 8 - lanes.of[i]! * LANE;
    const startY =
      arc.from === "in"
        ? start + (fromSide ? 0 : 8)
        : arc.from.startsWith("+")
          ? joint(arc.from.slice(1)) + 12
          : at.get(arc.from)!.y + at.get(arc.from)!.part.height + 8;
    const fromX =
      arc.from === "in"
        ? axis
        : arc.from.startsWith("+")
          ? at.get(arc.from.slice(1))!.x + at.get(arc.from.slice(1))!.part.entry[0]
          : at.get(arc.from)!.x + at.get(arc.from)!.part.exit[0];
    const toX = arc.to === "out" ? axis : at.get(arc.to)!.x + at.get(arc.to)!.part.entry[0];
    const endY = inside.sums.has(arc.to) ? joint(arc.to) : arc.to === "out" ? end - 6 : at.get(arc.to)!.y - 8;
    const stop = inside.sums.has(arc.to) ? toX - 6 : toX;
    made.lines.push(
      line(
        arc,
        [
          [fromX, startY],
          [x, startY],
          [x, endY],
          [stop, endY],
        ],
        inside.sums.has(arc.to),
        null,
      ),
    );
  });
  for (const target of inside.sums)
    made.sums.push({ x: target === "out" ? axis : at.get(target)!.x + at.get(target)!.part.entry[0], y: joint(target) });
  return { ...made, width, height, entry, exit };
}
