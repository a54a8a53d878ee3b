import { flushSync, mount, unmount } from "svelte";
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

import type { DocumentSource } from "../src/documents";
import Inside from "../src/inside/Inside.svelte";
import type { Moment, Overview } from "../src/inside/types";
import type { UrlState } from "../src/state";
import { makeState } from "./inside-state.svelte";

const pack = (dtype: "float32" | "uint8" | "int32", shape: number[], values: number[]) => {
  const made = dtype === "float32" ? Float32Array.from(values) : dtype === "int32" ? Int32Array.from(values) : Uint8Array.from(values);
  return { dtype, shape, data: Buffer.from(made.buffer).toString("base64") };
};
const half = (shape: number[], bits: number[]) => ({ dtype: "float16", shape, data: Buffer.from(Uint16Array.from(bits).buffer).toString("base64") });
const fill = (count: number, value: number) => new Array<number>(count).fill(value);

const snapshot = (step: number): Moment => ({ id: `step-${String(step).padStart(8, "0")}`, step, epoch: step / 10, is_checkpoint: false, label: "" });
const best: Moment = { id: "best", step: 10, epoch: 1, is_checkpoint: true, label: "" };
let moments: Moment[] = [];
let status = "finished";
let asked: string[] = [];

const overview = (): Overview => ({
  model: {
    name: "tiny",
    family: "vit",
    parameters: 1000,
    flops: 2000,
    image_size: 8,
    patch_size: [4, 4],
    grid: [2, 2],
    prefix_tokens: 1,
    has_class_token: true,
    embed_dim: 4,
    depth: 1,
    num_heads: 2,
    classes: ["cat", "dog"],
  },
  attention: { kind: "global", reason: "" },
  moments,
  pinned: [{ id: "sample:00", label: "cat", split: "val" }],
  run: { id: "r", name: "r", status, step: 10, total_steps: 20 },
});
const image = { id: "sample:00", label: "cat", width: 8, height: 8, pixels: "data:image/png;base64,", mask: null };
const node = (id: string, parent: string | null, order: number, type: string) => ({
  id,
  name: id.slice(id.lastIndexOf(".") + 1),
  type,
  parent,
  depth: parent === null ? 0 : id.split(".").length,
  parameters: 100,
  own_parameters: 10,
  flops: 500,
  input_shape: [1, 5, 4],
  output_shape: [1, 5, 4],
  order,
  fold: null,
});
const documents: Record<string, () => unknown> = {
  overview,
  structure: () => ({
    nodes: [
      node("", null, 0, "ViT"),
      node("image", "", 1, "Image"),
      node("blocks", "", 2, "Sequential"),
      node("blocks.0", "blocks", 3, "Block"),
      node("blocks.0.attn", "blocks.0", 4, "Attention"),
      node("blocks.0.attn.qkv", "blocks.0.attn", 5, "Linear"),
      node("result", "", 6, "Logits"),
    ],
    edges: [
      { source: "image", target: "blocks", shape: [1, 5, 4], kind: "flow" },
      { source: "blocks", target: "result", shape: [1, 2], kind: "flow" },
    ],
    folds: [],
  }),
  attention: () => ({
    image,
    prediction: [
      { label: "cat", probability: 0.75 },
      { label: "dog", probability: 0.25 },
    ],
    kind: "global",
    layers: 1,
    heads: [2],
    tokens: 5,
    prefix_tokens: 1,
    grid: [2, 2],
    thumbnails: pack("uint8", [1, 2, 2, 2], [255, 0, 0, 0, 0, 0, 0, 255]),
    thumbnail_max: pack("float32", [1, 2], [0.5, 0.5]),
    rollout: pack("float32", [1, 5], [0.2, 0.5, 0.1, 0.1, 0.1]),
    rollout_reason: "",
    entropy: pack("float32", [1, 2], [1.25, 0.5]),
    distance: pack("float32", [1, 2], [3, 4]),
    class_share: pack("float32", [1, 2], [0.1, 0.2]),
    score: null,
  }),
  "attention/0": () => ({ layer: 0, kind: "global", weights: half([2, 5, 5], fill(50, 0x3266)) }),
  heads: () => ({
    count: 4,
    entropy: pack("float32", [1, 2], [1.5, 1]),
    distance: pack("float32", [1, 2], [3, 4]),
    class_share: null,
    entropy_std: pack("float32", [1, 2], [0.1, 0.1]),
    distance_std: null,
    class_share_std: null,
    max_entropy: Math.log(5),
    largest_distance: 6,
    score: null,
  }),
  layers: () => ({
    layers: [
      {
        index: 0,
        id: "blocks.0.attn.qkv",
        role: "qkv",
        block: 0,
        shape: [12, 4],
        parts: [
          ["q", 0, 4],
          ["k", 4, 8],
          ["v", 8, 12],
        ],
        mean: 0,
        std: 0.1,
        min: -0.3,
        max: 0.3,
        frobenius: 1,
        spectral: 0.7,
        effective_rank: 3.5,
        rank_share: 0.875,
        near_zero: 0,
        histogram: {
          edges: pack(
            "float32",
            [41],
            Array.from({ length: 41 }, (_, i) => i / 40),
          ),
          counts: pack("int32", [40], fill(40, 1)),
        },
        singular_values: pack("float32", [4], [0.7, 0.5, 0.4, 0.3]),
        singular_count: 4,
        change: null,
      },
    ],
  }),
  "layer/0": () => ({
    index: 0,
    shape: [12, 4],
    rows: [0, 12],
    cols: [0, 4],
    cell: [1, 1],
    mean: pack("float32", [12, 4], fill(48, 0.1)),
    low: null,
    high: null,
    scale: 0.3,
    biases: null,
  }),
  "timeline/layers": () => ({ layers: [], moments: [] }),
  timeline: () => ({
    image,
    moments: moments
      .filter((moment) => !moment.is_checkpoint)
      .map(({ step, epoch }) => ({
        step,
        epoch,
        thumbnails: pack("uint8", [1, 2, 2, 2], fill(8, 255)),
        thumbnail_max: pack("float32", [1, 2], [0.3, 0.3]),
        rollout: null,
        rollout_max: null,
        entropy: pack("float32", [1, 2], [1, step / 10]),
        distance: null,
        class_share: null,
        prediction: [{ label: "dog", probability: step / 100 }],
      })),
  }),
};
const source: DocumentSource = {
  get: <T>(key: string, query: Record<string, string> = {}) => {
    asked.push(`${key} ${query.at ?? ""}`.trim());
    const make = documents[key];
    return make ? Promise.resolve(make() as T) : Promise.reject(Object.assign(new Error(`no ${key}`), { status: 404 }));
  },
};

let shown: ReturnType<typeof mount> | null = null;
let state: UrlState;
let tell: (step: number) => void = () => undefined;

async function settle() {
  for (let i = 0; i < 12; i++) {
    await Promise.resolve();
    flushSync();
    await new Promise((resolve) => setTimeout(resolve));
  }
}

async function open(query: Record<string, string> = {}) {
  state = makeState(query);
  const live = {
    onMoment(f: (step: number) => void) {
      tell = f;
      return () => undefined;
    },
  };
  shown = mount(Inside, { target: document.body, props: { source, live, state } });
  await settle();
}

beforeEach(() => {
  moments = [snapshot(5), best];
  status = "finished";
  asked = [];
  HTMLCanvasElement.prototype.getContext = () => null;
  HTMLImageElement.prototype.decode = () => Promise.resolve();
});
afterEach(() => {
  if (shown) void unmount(shown);
  shown = null;
  document.body.replaceChildren();
});

const text = () => document.body.textContent ?? "";

describe("Inside", () => {
  it("opens with modules and entropies as text, and the prediction", async () => {
    await open();
    expect(text()).toContain("blocks.0.attn.qkv");
    expect(text()).toContain("1.25");
    expect(text()).toContain("75.0%");
    expect(asked).toContain("attention best");
  });

  it("shows every view, and keeps it in the address", async () => {
    await open();
    const tabs = [...document.querySelectorAll<HTMLElement>("[role=tab]")];
    expect(tabs).toHaveLength(4);
    for (const [i, view] of [
      [1, "layers"],
      [2, "attention"],
      [3, "heads"],
    ] as const) {
      tabs[i]!.click();
      await settle();
      expect(state.get("view")).toBe(view);
      expect(tabs[i]!.getAttribute("aria-selected")).toBe("true");
      expect(document.querySelector("[role=alert]")).toBeNull();
    }
    expect(asked).toEqual(expect.arrayContaining(["layers best", "attention/0 best", "heads best"]));
  });

  it("moves through layers and heads by keys", async () => {
    await open({ view: "attention" });
    const cell = document.querySelector<HTMLElement>('[role=gridcell][tabindex="0"]')!;
    cell.dispatchEvent(new KeyboardEvent("keydown", { key: "Home", bubbles: true, cancelable: true }));
    await settle();
    expect([state.get("layer"), state.get("head")]).toEqual(["0", "0"]);
    expect(document.querySelector('[role=gridcell][aria-selected="true"]')?.getAttribute("data-cell")).toBe("0 0");
  });

  it("a snapshot shows what it keeps, and the way to the checkpoint", async () => {
    await open({ view: "attention", at: "step-00000005" });
    expect(asked).toContain("timeline");
    expect(asked).not.toContain("attention step-00000005");
    expect(text()).toContain("dog");
    expect(text()).toContain("5.0%");
    expect(text()).toContain("Every token at step 10");
  });

  it("a moment that comes is followed until the person moves", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      status = "running";
      moments = [snapshot(5)];
      state = makeState({ view: "attention" });
      shown = mount(Inside, {
        target: document.body,
        props: { source, state, live: { onMoment: (f: (step: number) => void) => ((tell = f), () => undefined) } },
      });
      const pass = async () => {
        for (let i = 0; i < 12; i++) {
          await vi.advanceTimersByTimeAsync(200);
          flushSync();
        }
      };
      await pass();
      expect(text()).toContain("step 5");
      moments = [snapshot(5), snapshot(7)];
      tell(7);
      await pass();
      expect(text()).toContain("step 7");
      expect(state.get("at")).toBeNull();
      state.set({ at: "step-00000005" });
      moments = [...moments, snapshot(9)];
      tell(9);
      await pass();
      expect(text()).toContain("step 5");
      expect(document.querySelectorAll(".marks i")).toHaveLength(3);
    } finally {
      vi.useRealTimers();
    }
  });

  it("says that there are no weights yet", async () => {
    const before = documents.overview!;
    documents.overview = () => {
      throw new Error("unused");
    };
    const get = source.get;
    source.get = () => Promise.reject(Object.assign(new Error("Run r has no checkpoint yet."), { status: 409 }));
    await open();
    expect(text()).toContain("There are no weights to look at yet");
    source.get = get;
    documents.overview = before;
    tell(5);
    await new Promise((resolve) => setTimeout(resolve, 1600));
    await settle();
    expect(text()).toContain("tiny");
  });

  it("says why there is no attention", async () => {
    const before = documents.overview!;
    documents.overview = () => ({ ...overview(), attention: { kind: "none", reason: "It has no attention layers." } });
    await open({ view: "heads" });
    expect(text()).toContain("It has no attention layers.");
    documents.overview = before;
  });
});
