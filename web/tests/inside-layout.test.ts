import { describe, expect, it } from "vitest";
import { Graph, TOKENS } from "../src/inside/graph";
import { shapeText } from "../src/inside/labels";
import type { Box } from "../src/inside/arrange";
import { layout, type Layout } from "../src/inside/layout";
import { measure } from "../src/inside/measure";
import { rounded } from "../src/inside/route";
import type { Structure, StructureEdge, StructureNode } from "../src/inside/types";

/** A ViT as `inspection/structure.py` tells it: pre-norm blocks with two residual sums each. */
function vit(depth: number): Structure {
  const nodes: StructureNode[] = [];
  const edges: StructureEdge[] = [];
  const add = (id: string, parent: string | null, type: string, output = [1, 17, 64]) =>
    nodes.push({
      id,
      name: id.slice(id.lastIndexOf(".") + 1),
      type,
      parent,
      depth: parent === null ? 0 : id.split(".").length,
      parameters: 100,
      own_parameters: 10,
      flops: 1000,
      input_shape: output,
      output_shape: output,
      order: nodes.length,
      fold: id.match(/^blocks\.\d+$/) ? "blocks" : null,
    });
  const flow = (source: string, target: string, kind: "flow" | "residual" = "flow") => edges.push({ source, target, shape: [1, 17, 64], kind });
  add("", null, "VisionTransformer");
  add("image", "", "Image", [1, 3, 32, 32]);
  add("patch_embed", "", "PatchEmbed", [1, 16, 64]);
  add("patch_embed.proj", "patch_embed", "Conv2d", [1, 64, 4, 4]);
  add("blocks", "", "Sequential");
  for (let i = 0; i < depth; i++) {
    const b = `blocks.${i}`;
    add(b, "blocks", "Block");
    add(`${b}.norm1`, b, "LayerNorm");
    add(`${b}.attn`, b, "Attention");
    add(`${b}.attn.qkv`, `${b}.attn`, "Linear");
    add(`${b}.attn.proj`, `${b}.attn`, "Linear");
    add(`${b}.norm2`, b, "LayerNorm");
    add(`${b}.mlp`, b, "Mlp");
    add(`${b}.mlp.fc1`, `${b}.mlp`, "Linear");
    add(`${b}.mlp.fc2`, `${b}.mlp`, "Linear");
    flow(`in:${b}`, `${b}.norm1`);
    flow(`${b}.norm1`, `${b}.attn`);
    flow(`in:${b}`, `${b}.norm2`, "residual");
    flow(`${b}.attn`, `${b}.norm2`);
    flow(`${b}.norm2`, `${b}.mlp`);
    flow(`in:${b}`, `out:${b}`, "residual");
    flow(`${b}.attn`, `out:${b}`, "residual");
    flow(`${b}.mlp`, `out:${b}`);
    for (const [p, x, y] of [
      ["attn", "qkv", "proj"],
      ["mlp", "fc1", "fc2"],
    ] as const) {
      flow(`in:${b}.${p}`, `${b}.${p}.${x}`);
      flow(`${b}.${p}.${x}`, `${b}.${p}.${y}`);
      flow(`${b}.${p}.${y}`, `out:${b}.${p}`);
    }
    if (i > 0) flow(`blocks.${i - 1}`, b);
  }
  flow("in:blocks", "blocks.0");
  flow(`blocks.${depth - 1}`, "out:blocks");
  add("norm", "", "LayerNorm");
  add("head", "", "Linear", [1, 10]);
  add("result", "", "Logits", [1, 10]);
  flow("image", "patch_embed");
  flow("in:patch_embed", "patch_embed.proj");
  flow("patch_embed.proj", "out:patch_embed");
  flow("patch_embed", "blocks");
  flow("blocks", "norm");
  flow("norm", "head");
  flow("head", "result");
  const members = Array.from({ length: depth }, (_, i) => `blocks.${i}`);
  return { nodes, edges, folds: [{ id: "blocks", first: "blocks.0", count: depth, members }] };
}

const everything = (structure: Structure) => new Set(structure.nodes.map((node) => node.id));
const none = new Map<string, string>();

function contains(outer: Box, inner: Box): boolean {
  return (
    inner.x >= outer.x && inner.y >= outer.y && inner.x + inner.width <= outer.x + outer.width && inner.y + inner.height <= outer.y + outer.height
  );
}

function overlap(a: Box, b: Box): boolean {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

function expectSound({ boxes, lines, width, height }: Layout) {
  const byId = new Map(boxes.map((box) => [box.id, box]));
  expect(byId.size).toBe(boxes.length);
  for (const box of boxes) {
    expect(box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height).toBe(true);
    const around = box.node.parent === null ? undefined : byId.get(box.node.parent);
    if (around) expect(contains(around, box), `${box.id} inside ${around.id}`).toBe(true);
  }
  const isInside = (inner: Box, outer: Box) => inner.id !== outer.id && inner.id.startsWith(`${outer.id}.`);
  for (const a of boxes)
    for (const b of boxes) if (a.id < b.id && !isInside(a, b) && !isInside(b, a)) expect(overlap(a, b), `${a.id} over ${b.id}`).toBe(false);
  for (const line of lines) for (const [x, y] of line.points) expect(Number.isFinite(x) && Number.isFinite(y)).toBe(true);
}

describe("layout of the architecture", () => {
  for (const isNarrow of [false, true]) {
    const way = isNarrow ? "narrow" : "wide";

    it(`${way}: folded, one block stands for all`, () => {
      const structure = vit(12);
      const made = layout(new Graph(structure), { open: new Set(["blocks", "blocks.0"]), spread: new Set(), shown: none }, { isNarrow, measure });
      expectSound(made);
      const ids = made.boxes.map((box) => box.id);
      expect(ids).toEqual(expect.arrayContaining(["image", "patch_embed", TOKENS, "blocks", "blocks.0", "blocks.0.attn", "norm", "head", "result"]));
      expect(ids.filter((id) => /^blocks\.\d+$/.test(id))).toEqual(["blocks.0"]);
      expect(made.boxes.find((box) => box.id === "blocks.0")?.stack?.count).toBe(12);
    });

    it(`${way}: unfolded and all open, every module is placed once`, () => {
      const structure = vit(5);
      const made = layout(new Graph(structure), { open: everything(structure), spread: new Set(["blocks"]), shown: none }, { isNarrow, measure });
      expectSound(made);
      const wanted = structure.nodes.map((node) => node.id).filter((id) => id !== "");
      expect(
        made.boxes
          .map((box) => box.id)
          .filter((id) => id !== TOKENS)
          .sort(),
      ).toEqual(wanted.sort());
    });

    it(`${way}: closed, the main modules alone`, () => {
      const structure = vit(3);
      const made = layout(new Graph(structure), { open: new Set(), spread: new Set(), shown: none }, { isNarrow, measure });
      expectSound(made);
      expect(made.boxes.map((box) => box.id).sort()).toEqual(["blocks", "head", "image", "norm", "patch_embed", "result", TOKENS].sort());
    });
  }

  it("another member can stand for the fold", () => {
    const structure = vit(4);
    const made = layout(
      new Graph(structure),
      { open: new Set(["blocks", "blocks.2"]), spread: new Set(), shown: new Map([["blocks", "blocks.2"]]) },
      { isNarrow: false, measure },
    );
    expectSound(made);
    expect(made.boxes.some((box) => box.id === "blocks.2.mlp")).toBe(true);
    expect(made.boxes.some((box) => box.id.startsWith("blocks.0"))).toBe(false);
  });

  it("a residual path runs from sum to sum", () => {
    const inside = new Graph(vit(2)).inside("blocks.0", { open: new Set(), spread: new Set(), shown: none });
    expect(inside.arcs.map(({ from, to }) => [from, to])).toEqual([
      ["in", "blocks.0.norm2"],
      ["+blocks.0.norm2", "out"],
    ]);
    expect([...inside.sums]).toEqual(["blocks.0.norm2", "out"]);
    expect(inside.flows.map(({ from, to }) => `${from}>${to}`)).toContain("blocks.0.attn>blocks.0.norm2");
  });

  it("says the tokens between patches and blocks", () => {
    const graph = new Graph(vit(2));
    const tokens = graph.byId.get(TOKENS)!;
    expect([tokens.input_shape, tokens.output_shape, tokens.own_parameters]).toEqual([[1, 16, 64], [1, 17, 64], 10]);
  });

  it("writes shapes without the batch of one", () => {
    expect([shapeText([1, 257, 384]), shapeText([1, 10]), shapeText([4, 3]), shapeText([1])]).toEqual(["257×384", "10", "4×3", "1"]);
  });

  it("rounds corners without leaving the way", () => {
    const path = rounded([
      [0, 0],
      [10, 0],
      [10, 4],
    ]);
    expect(path).toBe("M0 0L8 0Q10 0 10 2L10 4");
  });
});
