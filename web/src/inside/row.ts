/** A module's inside from left to right; what passes others by runs above. */
import {
  byRank,
  collect,
  ENTRY,
  GAP,
  HEADER,
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

/** What is small and follows one another stands in columns; these, and frames, stand side by side. */
export function row(inside: Inside, parts: Named[], { hasFrame, measure }: { hasFrame: boolean; measure: Measure }): Part {
  const ranks = byRank(inside, parts);
  const lanes = lanesOf(inside, ranks);
  const columns = inside.sums.size ? ranks.map((rank) => [rank]) : stacked(ranks);
  const top = (hasFrame ? HEADER : 0) + PAD + lanes.count * LANE;
  const tall = (column: { part: Part }[][]) =>
    column.reduce((sum, rank) => sum + (column.length > 1 ? rank[0]!.part.height : total(rank, "height")), 0) + GAP * (column.length - 1);
  const room = Math.max(0, ...columns.map(tall));
  const columnOf = new Map(columns.flatMap((column, i) => column.flatMap((rank) => rank.map(({ id }) => [id, i] as const))));
  let x = hasFrame ? ENTRY : PAD;
  const at = new Map<string, Placed>();
  const leftOf = new Map<string, number>(); // where the column begins
  const rightOf = new Map<string, number>();
  columns.forEach((column, i) => {
    const ids = column.flatMap((rank) => rank.map(({ id }) => id));
    const incoming = inside.flows.filter((flow) => ids.includes(flow.to) && columnOf.get(flow.from) !== i);
    if (i > 0) x += Math.max(GAP + 14, ...incoming.map((flow) => measure(shapeText(flow.shape), "shape") + 34));
    if (ids.some((id) => inside.sums.has(id))) x += SUM;
    const wide = Math.max(...column.flatMap((rank) => rank.map(({ part }) => part.width)));
    let y = top + (room - tall(column)) / 2;
    for (const { id, part } of column.flat()) {
      at.set(id, { part, x: x + (wide - part.width) / 2, y });
      y += part.height + GAP;
    }
    for (const id of ids) leftOf.set(id, x);
    x += wide;
    for (const id of ids) rightOf.set(id, x);
  });
  if (inside.sums.has("out")) x += SUM;
  const width = x + (hasFrame ? ENTRY : PAD);
  const height = top + room + PAD;
  const first = ranks[0]?.[0];
  const last = ranks.at(-1)?.[0];
  const entryY = first ? at.get(first.id)!.y + first.part.entry[1] : height / 2;
  const exitY = last ? at.get(last.id)!.y + last.part.exit[1] : height / 2;
  const made = collect(at);
  const joint = (target: string): [number, number] => {
    if (target === "out") return [width - ENTRY + 2, exitY];
    const placed = at.get(target)!;
    return [placed.x - 22, placed.y + placed.part.entry[1]];
  };
  for (const flow of inside.flows) {
    if (!hasFrame && (flow.from === "in" || flow.to === "out")) continue;
    const [source, goal] = [at.get(flow.from), at.get(flow.to)];
    if (source && goal && columnOf.get(flow.from) === columnOf.get(flow.to) && inside.rank.get(flow.from) !== inside.rank.get(flow.to)) {
      const middle = source.x + source.part.width / 2;
      const down: [number, number][] = [
        [middle, source.y + source.part.height],
        [middle, goal.y],
      ];
      made.lines.push(line(flow, down, true, { x: middle + 7, y: goal.y - GAP / 2, anchor: "start" }));
      continue;
    }
    const from = portOf(flow.from, at, "exit") ?? [0, entryY];
    const to = portOf(flow.to, at, "entry") ?? [width, exitY];
    // A step lies close to what it leads to, so that the label has the straight part.
    const bend = from[1] === to[1] ? null : (leftOf.get(flow.to) ?? to[0]) - 14;
    const points: [number, number][] = bend === null ? [from, to] : [from, [bend, from[1]], [bend, to[1]], to];
    const isEnd = flow.from === "in" || flow.to === "out";
    const across = (from[0] + (bend ?? to[0]) - 4) / 2;
    made.lines.push(
      line(flow, points, flow.to !== "out" && goal?.part.boxes[0]?.kind !== "frame", isEnd ? null : { x: across, y: from[1] - 6, anchor: "middle" }),
    );
  }
  inside.arcs.forEach((arc, i) => {
    const y = top - 8 - lanes.of[i]! * LANE;
    const isFromSum = arc.from.startsWith("+");
    const source = isFromSum ? joint(arc.from.slice(1)) : (portOf(arc.from, at, "exit") ?? [0, entryY]);
    const up = isFromSum ? source[0] + 12 : (rightOf.get(arc.from) ?? source[0]) + 8;
    const start: [number, number][] = isFromSum ? [[up, source[1]]] : [source, [up, source[1]]];
    if (inside.sums.has(arc.to)) {
      const [x, goal] = joint(arc.to);
      made.lines.push(line(arc, [...start, [up, y], [x, y], [x, goal - 6]], true, null));
    } else {
      const goal = portOf(arc.to, at, "entry") ?? [width, exitY];
      const down = (leftOf.get(arc.to) ?? goal[0]) - 8;
      made.lines.push(line(arc, [...start, [up, y], [down, y], [down, goal[1]], goal], true, null));
    }
  });
  for (const target of inside.sums) made.sums.push({ x: joint(target)[0], y: joint(target)[1] });
  return { ...made, width, height, entry: [0, entryY], exit: [width, exitY] };
}

const TALLEST_COLUMN = 560;

/** Ranks of one small thing each, one beneath the other while they fit; everything else alone. */
function stacked(ranks: Named[][]): Named[][][] {
  const columns: Named[][][] = [];
  let tall = 0;
  let canGrow = false;
  for (const rank of ranks) {
    const only = rank.length === 1 && rank[0]!.part.boxes[0]?.kind !== "frame" ? rank[0]!.part : null;
    if (only && canGrow && tall + GAP + only.height <= TALLEST_COLUMN) {
      columns.at(-1)!.push(rank);
      tall += GAP + only.height;
    } else {
      columns.push([rank]);
      tall = only?.height ?? 0;
    }
    canGrow = only !== null;
  }
  return columns;
}
