/** A tiny model's documents, a page that shows them, and a canvas that remembers what was drawn. */
import { flushSync, mount, unmount } from "svelte";
import type { DocumentSource } from "../src/documents";
import Inside from "../src/inside/Inside.svelte";
import type { Moment, Overview } from "../src/inside/types";
import type { UrlState } from "../src/state";
import { makeState } from "./inside-state.svelte";

export const WIDTH = 600;

export const pack = (dtype: "float32" | "uint8" | "int32", shape: number[], values: number[]) => {
  const made = dtype === "float32" ? Float32Array.from(values) : dtype === "int32" ? Int32Array.from(values) : Uint8Array.from(values);
  return { dtype, shape, data: Buffer.from(made.buffer).toString("base64") };
};
const half = (shape: number[], bits: number[]) => ({ dtype: "float16", shape, data: Buffer.from(Uint16Array.from(bits).buffer).toString("base64") });
export const fill = (count: number, value: number) => new Array<number>(count).fill(value);

export const snapshot = (step: number): Moment => ({ id: `step-${String(step).padStart(8, "0")}`, step, epoch: step / 10, is_checkpoint: false, label: "" });
export const best: Moment = { id: "best", step: 10, epoch: 1, is_checkpoint: true, label: "" };
/** What the source answers with, and what it was asked. */
export const world = {
  moments: [] as Moment[],
  status: "finished",
  pinned: 1,
  /** Of the picture, 0 to 255. */
  lightness: 200,
  asked: [] as string[],
  /** Requests whose words match fail. */
  failing: null as RegExp | null,
  /** Requests whose words match wait until `release` is called. */
  held: null as RegExp | null,
  waiting: [] as (() => void)[],
  release(): void {
    this.held = null;
    for (const go of this.waiting.splice(0)) go();
  },
};

export const overview = (): Overview => ({
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
  moments: world.moments,
  pinned: [
    { id: "sample:00", label: "cat", split: "val" },
    { id: "sample:01", label: "dog", split: "val" },
  ].slice(0, world.pinned),
  run: { id: "r", name: "r", status: world.status, step: 10, total_steps: 20 },
});
const image = (id = "sample:00") => ({ id, label: "cat", width: 8, height: 8, pixels: "data:image/png;base64,", mask: null });
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
export const documents: Record<string, (query: Record<string, string>) => unknown> = {
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
  attention: ({ image: id }) => ({
    image: image(id),
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
    image: image(),
    moments: world.moments
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

export const source: DocumentSource = {
  get: async <T>(key: string, query: Record<string, string> = {}, signal?: AbortSignal) => {
    const words = [key, ...["at", "image", "rows", "cols"].flatMap((name) => query[name] ?? [])].join(" ");
    world.asked.push(words);
    if (world.held?.test(words))
      await new Promise<void>((resolve, reject) => {
        world.waiting.push(resolve);
        signal?.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
      });
    const make = documents[key];
    if (world.failing?.test(words) || !make) throw Object.assign(new Error(`no ${words}`), { status: 500 });
    return make(query) as T;
  },
};

/** A 2D context that remembers: which pixels lie on its canvas, what was drawn from where, which lines and texts. */
export class Recorder {
  readonly texts: string[] = [];
  readonly frames: { colour: string; at: number[] }[] = [];
  readonly drawn: { from: Recorder | undefined; source: number[]; at: number[] }[] = [];
  pixels: ImageData | null = null;
  strokeStyle = "";
  fillStyle = "";
  globalAlpha = 1;
  globalCompositeOperation = "";
  constructor(readonly canvas: HTMLCanvasElement) {}
  clearRect() {
    this.texts.length = this.frames.length = this.drawn.length = 0;
  }
  createImageData(width: number, height: number) {
    return { width, height, data: new Uint8ClampedArray(width * height * 4) } as ImageData;
  }
  putImageData(data: ImageData) {
    this.pixels = data;
  }
  getImageData(_x: number, _y: number, width: number, height: number) {
    return { width, height, data: new Uint8ClampedArray(width * height * 4).fill(world.lightness) } as ImageData;
  }
  drawImage(of: HTMLCanvasElement, ...rest: number[]) {
    this.drawn.push({ from: recorders.get(of), source: rest.length === 8 ? rest.slice(0, 4) : [], at: rest.slice(-4) });
  }
  fillText(text: string) {
    this.texts.push(text);
  }
  strokeRect(...at: number[]) {
    this.frames.push({ colour: this.strokeStyle, at });
  }
  measureText(text: string) {
    return { width: text.length * 7 };
  }
  /** The pixel of the canvas that is not shown, as red, green, blue, alpha. */
  pixel(x: number, y: number): number[] {
    const at = (y * this.pixels!.width + x) * 4;
    return [...this.pixels!.data.slice(at, at + 4)];
  }
}
for (const name of ["setTransform", "save", "restore", "beginPath", "rect", "clip", "moveTo", "lineTo", "stroke", "translate", "setLineDash", "fillRect"])
  Object.defineProperty(Recorder.prototype, name, { value: () => undefined });

const recorders = new Map<HTMLCanvasElement, Recorder>();

export function recorder(canvas: Element | null | undefined): Recorder {
  return recorders.get(canvas as HTMLCanvasElement)!;
}

let shown: ReturnType<typeof mount> | null = null;
export const page = { state: null as unknown as UrlState, tell: (() => undefined) as (step: number) => void };

export async function settle(turns = 12): Promise<void> {
  for (let i = 0; i < turns; i++) {
    await Promise.resolve();
    flushSync();
    await new Promise((resolve) => setTimeout(resolve));
  }
}

/** Waits as long as a movement in the matrix does before it asks. */
export async function rest(ms = 350): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
  await settle();
}

export function show(query: Record<string, string> = {}, from: DocumentSource = source): void {
  page.state = makeState(query);
  const live = {
    onMoment(f: (step: number) => void) {
      page.tell = f;
      return () => undefined;
    },
  };
  shown = mount(Inside, { target: document.body, props: { source: from, live, state: page.state } });
}

export async function open(query: Record<string, string> = {}, from: DocumentSource = source): Promise<void> {
  show(query, from);
  await settle();
}

/** Call in `beforeEach`. */
export function begin(): void {
  Object.assign(world, { moments: [snapshot(5), best], status: "finished", pinned: 1, lightness: 200, asked: [], failing: null, held: null, waiting: [] });
  recorders.clear();
  globalThis.CSS ??= { escape: (name: string) => name.replace(/\W/g, "\\$&") } as typeof CSS; // jsdom has none
  HTMLCanvasElement.prototype.getContext = function (this: HTMLCanvasElement) {
    if (!recorders.has(this)) recorders.set(this, new Recorder(this));
    return recorders.get(this) as never;
  } as never;
  HTMLImageElement.prototype.decode = () => Promise.resolve();
  Object.defineProperty(HTMLElement.prototype, "clientWidth", { configurable: true, get: () => WIDTH });
}

/** Call in `afterEach`. */
export function end(): void {
  if (shown) void unmount(shown);
  shown = null;
  document.body.replaceChildren();
}

export const text = () => document.body.textContent ?? "";
export const button = (name: string) => [...document.querySelectorAll<HTMLElement>("button")].find((each) => each.textContent?.includes(name) || each.ariaLabel === name);
export function press(element: Element | null | undefined, key: string): void {
  element!.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
}
