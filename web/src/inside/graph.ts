/** The module tree as a graph to lay out: folded, with the tokens between, and sums told apart from what flows by. */
import type { Fold, Structure, StructureEdge, StructureNode } from "./types";

export const IMAGE = "image";
export const RESULT = "result";
export const TOKENS = "tokens";

/** What is opened by the person. */
export interface Unfolded {
  /** Modules whose inside is shown. */
  open: ReadonlySet<string>;
  /** Folds whose members are all shown. */
  spread: ReadonlySet<string>;
  /** The member that stands for a fold that is not spread; the first where nothing is said. */
  shown: ReadonlyMap<string, string>;
}

export interface Child {
  node: StructureNode;
  /** The fold that this node stands for. */
  stack: Fold | null;
}

/** A sum before `target`: of what flows and of what came past. */
export interface Arc {
  /** A child, "in" (of the module around), or "+ID": the sum before child ID. */
  from: string;
  /** A child, or "out". */
  to: string;
  shape: number[];
  kind: "residual" | "flow";
}

export interface Inside {
  children: Child[];
  /** Place of each child along the way: a child comes after all that flows into it. */
  rank: Map<string, number>;
  /** Between neighbours along the way; ends are children, "in" or "out". */
  flows: Arc[];
  /** What passes others by. */
  arcs: Arc[];
  /** Targets ("out" too) before which there is a sum. */
  sums: Set<string>;
}

export class Graph {
  readonly byId: Map<string, StructureNode>;
  private readonly below = new Map<string, StructureNode[]>();
  private readonly foldOf = new Map<string, Fold>();
  private readonly edgesOf = new Map<string, StructureEdge[]>();
  private readonly levels = new Map<string, number>();

  constructor(structure: Structure) {
    const { nodes, edges } = withTokens(structure);
    this.byId = new Map(nodes.map((node) => [node.id, node]));
    for (const node of [...nodes].sort((a, b) => a.order - b.order)) {
      if (node.parent === null) continue;
      const siblings = this.below.get(node.parent) ?? [];
      siblings.push(node);
      this.below.set(node.parent, siblings);
    }
    for (const fold of structure.folds) for (const member of fold.members) this.foldOf.set(member, fold);
    for (const edge of edges) {
      const inside = this.around(edge);
      if (inside === null) continue;
      const here = this.edgesOf.get(inside) ?? [];
      here.push(edge);
      this.edgesOf.set(inside, here);
    }
  }

  /** The module inside which an edge runs. */
  private around(edge: StructureEdge): string | null {
    for (const end of [edge.source, edge.target]) {
      if (end.startsWith("in:")) return end.slice(3);
      if (end.startsWith("out:")) return end.slice(4);
    }
    return this.byId.get(edge.source)?.parent ?? null;
  }

  hasInside(id: string): boolean {
    return (this.below.get(id)?.length ?? 0) > 0;
  }

  childrenOf(id: string): readonly StructureNode[] {
    return this.below.get(id) ?? [];
  }

  fold(member: string): Fold | null {
    return this.foldOf.get(member) ?? null;
  }

  /** 0 for a module without inside, else one more than the deepest below. */
  level(id: string): number {
    const known = this.levels.get(id);
    if (known !== undefined) return known;
    const children = this.below.get(id) ?? [];
    const level = children.length ? 1 + Math.max(...children.map((child) => this.level(child.id))) : 0;
    this.levels.set(id, level);
    return level;
  }

  inside(id: string, unfolded: Unfolded): Inside {
    const children: Child[] = [];
    const standsFor = new Map<string, string>(); // child → the one that is shown for it
    for (const node of this.below.get(id) ?? []) {
      const fold = this.foldOf.get(node.id);
      if (!fold || unfolded.spread.has(fold.id)) {
        children.push({ node, stack: null });
        standsFor.set(node.id, node.id);
        continue;
      }
      const shown = unfolded.shown.get(fold.id) ?? fold.first;
      standsFor.set(node.id, shown);
      if (node.id === shown) children.push({ node, stack: fold });
    }
    const edges = this.merged(this.edgesOf.get(id) ?? [], standsFor);
    return {
      children,
      ...arranged(
        children.map((child) => child.node.id),
        edges,
      ),
    };
  }

  private merged(edges: readonly StructureEdge[], standsFor: ReadonlyMap<string, string>): Arc[] {
    const known = new Map<string, Arc>();
    const end = (name: string) => (name.startsWith("in:") ? "in" : name.startsWith("out:") ? "out" : standsFor.get(name));
    for (const edge of edges) {
      const from = end(edge.source);
      const to = end(edge.target);
      if (!from || !to || from === to) continue;
      const key = `${from} ${to}`;
      if (known.get(key)?.kind !== "flow") known.set(key, { from, to, shape: edge.shape, kind: edge.kind });
    }
    return [...known.values()];
  }
}

/** Ranks, and each edge as a flow to the next or as an arc past others. */
function arranged(ids: readonly string[], edges: readonly Arc[]): Omit<Inside, "children"> {
  const order = new Map(ids.map((id, i) => [id, i]));
  const place = (end: string) => (end === "in" ? -1 : end === "out" ? ids.length : order.get(end)!);
  const ahead = edges.filter((edge) => place(edge.from) < place(edge.to));
  const rank = new Map<string, number>();
  let before = -1;
  for (const id of ids) {
    const sources = ahead.filter((edge) => edge.to === id && edge.kind === "flow");
    const ranks = sources.map((edge) => (edge.from === "in" ? -1 : rank.get(edge.from)!));
    rank.set(id, ranks.length ? 1 + Math.max(...ranks) : before + 1); // nothing known: after the one before
    before = rank.get(id)!;
  }
  const last = ids.length ? Math.max(...rank.values()) : -1;
  const rankOf = (end: string) => (end === "in" ? -1 : end === "out" ? last + 1 : rank.get(end)!);
  const flows: Arc[] = [];
  const passing: Arc[] = [];
  for (const edge of ahead) {
    const isNext = rankOf(edge.to) - rankOf(edge.from) === 1;
    (edge.kind === "flow" && (isNext || rankOf(edge.from) === rankOf(edge.to)) ? flows : passing).push(edge);
  }
  return { rank, flows, ...summed(ids, ahead, flows, passing) };
}

/**
 * A residual path runs from sum to sum. The edges tell every module whose output is in a sum: where these are just the
 * parts of an earlier sum, one arc from that sum says it all.
 */
function summed(ids: readonly string[], edges: readonly Arc[], flows: readonly Arc[], passing: readonly Arc[]): { arcs: Arc[]; sums: Set<string> } {
  const arcs: Arc[] = passing.filter((arc) => arc.kind === "flow");
  const sums = new Set<string>();
  const parts = new Map<string, string>(); // the parts of a sum → the child before which it is
  for (const target of [...ids, "out"]) {
    const past = passing.filter((arc) => arc.to === target && arc.kind === "residual");
    if (past.length === 0) continue;
    const sources = past.map((arc) => arc.from).sort();
    const earlier = parts.get(sources.join(" "));
    if (earlier && past[0]) arcs.push({ ...past[0], from: `+${earlier}` });
    else arcs.push(...past);
    sums.add(target);
    const all = edges.filter((edge) => edge.to === target).map((edge) => edge.from);
    if (flows.some((arc) => arc.to === target)) parts.set(all.sort().join(" "), target);
  }
  return { arcs, sums };
}

/** Between the patch embedding and what follows, the model's own parameters act: class token, registers, positions. */
function withTokens({ nodes, edges }: Structure): Pick<Structure, "nodes" | "edges"> {
  const root = nodes.find((node) => node.parent === null);
  const embed = nodes.find((node) => node.parent === "" && (node.id === "patch_embed" || /embed|stem/i.test(node.type)));
  const out = embed?.output_shape;
  if (!root || !embed || out?.length !== 3) return { nodes, edges };
  const on = edges.filter((edge) => edge.source === embed.id && edge.kind === "flow");
  const shape = on[0]?.shape;
  if (!shape || shape.length !== 3) return { nodes, edges };
  const tokens: StructureNode = {
    id: TOKENS,
    name: TOKENS,
    type: "Tokens",
    parent: "",
    depth: 1,
    parameters: root.own_parameters,
    own_parameters: root.own_parameters,
    flops: 0,
    input_shape: out,
    output_shape: shape,
    order: embed.order + 0.5,
    fold: null,
  };
  const moved = edges.map((edge) => (edge.source === embed.id && on.includes(edge) ? { ...edge, source: TOKENS } : edge));
  return { nodes: [...nodes, tokens], edges: [...moved, { source: embed.id, target: TOKENS, shape: out, kind: "flow" }] };
}
