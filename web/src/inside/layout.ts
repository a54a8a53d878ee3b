/**
 * Where everything of the architecture goes. Along the way runs from left to right through the model and its stages,
 * and from top to bottom inside a block; on a narrow screen from top to bottom everywhere. A module's inside lies in its
 * frame.
 */
import { shifted, type Box, type Measure, type Part } from "./arrange";
import { column } from "./column";
import { IMAGE, RESULT, TOKENS, type Child, type Graph, type Unfolded } from "./graph";
import { flopsText, stackName } from "./labels";
import { compact } from "./numbers";
import type { Line } from "./route";
import { row } from "./row";
import type { Fold, StructureNode } from "./types";

export interface Layout {
  boxes: Box[]; // frames before what is inside them
  lines: Line[];
  sums: { x: number; y: number }[];
  width: number;
  height: number;
}

const LEAF = { height: 44, least: 116, most: 210 };
const SPECIAL = { [IMAGE]: [150, 156], [TOKENS]: [168, 74], [RESULT]: [176, 128] } as Record<string, [number, number]>;

export function layout(graph: Graph, unfolded: Unfolded, { isNarrow, measure }: { isNarrow: boolean; measure: Measure }): Layout {
  const maker = new Maker(graph, unfolded, isNarrow, measure);
  const { width, height, boxes, lines, sums } = maker.inside("", true, false);
  return { width, height, boxes, lines, sums };
}

class Maker {
  constructor(
    private readonly graph: Graph,
    private readonly unfolded: Unfolded,
    private readonly isNarrow: boolean,
    private readonly measure: Measure,
  ) {}

  private part(child: Child, parentIsRow: boolean): Part {
    const { node, stack } = child;
    const canOpen = this.graph.hasInside(node.id);
    if (canOpen && this.unfolded.open.has(node.id)) return this.frame(child, parentIsRow);
    const [width, height] = SPECIAL[node.id] ?? [this.leafWidth(node, stack, canOpen), LEAF.height];
    const kind = node.id in SPECIAL ? (node.id as Box["kind"]) : "leaf";
    const box: Box = { id: node.id, kind, x: 0, y: 0, width, height, node, stack, canOpen };
    const [entry, exit] = parentIsRow
      ? [
          [0, height / 2],
          [width, height / 2],
        ]
      : [
          [width / 2, 0],
          [width / 2, height],
        ];
    return { width, height, boxes: [box], lines: [], sums: [], entry: entry as [number, number], exit: exit as [number, number] };
  }

  private leafWidth(node: StructureNode, stack: Fold | null, canOpen: boolean): number {
    const count = stack?.count ?? 1;
    const icon = canOpen ? 17 : 0;
    const name =
      this.measure(stack ? stackName(stack, node) : node.name, "name") +
      (stack ? 44 : 0) +
      this.measure(node.parameters ? compact(node.parameters * count) : "", "small");
    const type = this.measure(node.type, "small") + this.measure(flopsText(node.flops * count), "small");
    return Math.round(Math.max(LEAF.least, Math.min(LEAF.most, icon + 32 + Math.max(name, type))));
  }

  private frame(child: Child, parentIsRow: boolean): Part {
    const { node, stack } = child;
    const isRow = !this.isNarrow && this.graph.level(node.id) >= 3;
    const inside = this.inside(node.id, isRow, true, parentIsRow);
    const title = this.measure(stack ? stackName(stack, node) : node.name, "name") + this.measure(node.type, "small") + (stack ? 92 : 48);
    const width = Math.max(inside.width, Math.round(title));
    const shift = (width - inside.width) / 2;
    const moved = shifted(inside, shift, 0);
    // The lines that end at the frame's sides reach them.
    for (const line of moved.lines)
      for (const point of line.points) point[0] = point[0] === shift ? 0 : point[0] === shift + inside.width ? width : point[0];
    const toSide = ([x, y]: [number, number]): [number, number] => [x === shift ? 0 : x === shift + inside.width ? width : x, y];
    const box: Box = { id: node.id, kind: "frame", x: 0, y: 0, width, height: inside.height, node, stack, canOpen: true };
    return { ...moved, width, boxes: [box, ...moved.boxes], entry: toSide(moved.entry), exit: toSide(moved.exit) };
  }

  /** All inside a module. `isRow`: the way runs from left to right; `parentIsRow`: so it does around the frame. */
  inside(id: string, isRow: boolean, hasFrame: boolean, parentIsRow = true): Part {
    const inside = this.graph.inside(id, this.unfolded);
    const runsAcross = isRow && !this.isNarrow;
    const parts = inside.children.map((child) => ({ id: child.node.id, part: this.part(child, runsAcross) }));
    return runsAcross
      ? row(inside, parts, { hasFrame, measure: this.measure })
      : column(inside, parts, { hasFrame, fromSide: parentIsRow && !this.isNarrow, measure: this.measure });
  }
}
