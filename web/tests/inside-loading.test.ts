/** What is seen while something is on its way, and when it fails. */
import { flushSync } from "svelte";
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

import { connection } from "../src/connection.svelte";
import { unpack } from "../src/documents";
import { begin, best, button, documents, end, open, page, press, rest, settle, show, snapshot, source, text, world } from "./inside-model";

beforeEach(begin);
afterEach(() => {
  end();
  Object.defineProperty(document, "hidden", { configurable: true, value: false });
  vi.useRealTimers();
});

const alerts = () => document.querySelectorAll("[role=alert]").length;
const dimmed = () => document.querySelectorAll(".earlier").length;
const other = { ...best, id: "step-00000020", step: 20 };

describe("a later moment that fails", () => {
  for (const [view, key] of [
    ["layers", "layers"],
    ["heads", "heads"],
    ["attention", "attention"],
  ] as const)
    it(`is told in ${view}, and the older numbers are dimmed until it comes`, async () => {
      world.moments = [best, other];
      await open({ view, at: "best" });
      expect([alerts(), dimmed()]).toEqual([0, 0]);
      world.failing = new RegExp(`^${key} step-00000020`);
      page.state.set({ at: other.id });
      await settle();
      expect(alerts()).toBeGreaterThan(0);
      expect(dimmed()).toBeGreaterThan(0);
      expect(text()).toContain("not what was asked for");
      world.failing = null;
      button("Try again")!.click();
      await settle();
      expect([alerts(), dimmed()]).toEqual([0, 0]);
    });

  it("is told in the architecture, whose picture it is", async () => {
    world.pinned = 2;
    await open();
    world.failing = /^attention/;
    page.state.set({ image: "sample:01" });
    await settle();
    expect(alerts()).toBeGreaterThan(0);
    expect(document.querySelector("image.earlier")).not.toBeNull();
  });
});

describe("the weight matrix", () => {
  it("is asked for again by its button, and says nothing false meanwhile", async () => {
    world.failing = /^layer\//;
    await open({ view: "layers" });
    expect(alerts()).toBe(1);
    expect(text()).not.toContain("--layers");
    const before = world.asked.length;
    world.failing = null;
    button("Try again")!.click();
    await rest(50);
    expect(world.asked.slice(before)).toEqual(["layer/0 best 0:12 0:4"]);
    expect(alerts()).toBe(0);
    expect(document.querySelector(".map canvas")).not.toBeNull();
  });

  it("tells of a failed part beside the one that is there, and asks for it again", async () => {
    const [all, tile] = [documents.layers!, documents["layer/0"]!];
    const { layers } = all({}) as { layers: object[] };
    const cells = { dtype: "float32" as const, shape: [256, 256], data: Buffer.from(new Float32Array(256 * 256).buffer).toString("base64") };
    documents.layers = () => ({ layers: layers.map((layer) => ({ ...layer, shape: [512, 512] })) });
    const large = { index: 0, shape: [512, 512], rows: [0, 512], cols: [0, 512], cell: [2, 2], mean: cells, low: cells, high: cells, scale: 1, biases: null };
    documents["layer/0"] = () => large;
    await open({ view: "layers" });
    world.failing = /^layer\/0 best (?!0:512)/;
    for (let i = 0; i < 4; i++) press(document.querySelector(".map"), "+");
    await rest();
    expect(alerts()).toBe(1);
    expect(text()).not.toContain("--layers");
    world.asked = [];
    button("Try again")!.click();
    await rest();
    expect(world.asked).toEqual([expect.stringMatching(/^layer\/0 best/)]);
    [documents.layers, documents["layer/0"]] = [all, tile];
  });
});

describe("numbers that are not known yet", () => {
  it("are told as such, not as NaN", async () => {
    const whole = documents.layers!;
    const { layers } = whole({}) as { layers: object[] };
    const unknown = { spectral: null, effective_rank: null, rank_share: null, singular_values: null };
    documents.layers = () => ({ is_complete: true, layers: layers.map((layer) => ({ ...layer, ...unknown })) });
    await open({ view: "layers" });
    documents.layers = whole;
    expect(text()).not.toContain("NaN");
    expect(document.body.innerHTML).not.toContain("NaN");
    expect([...document.querySelectorAll("figure[aria-busy]")].map((each) => each.textContent)).toEqual([expect.stringContaining("Computing")]);
  });

  it("are left out of what a head is said to be", async () => {
    const whole = documents.attention!;
    documents.attention = (query) => ({ ...(whole(query) as object), entropy: null });
    await open({ view: "attention", layer: "0", head: "0" });
    documents.attention = whole;
    expect(text()).toContain("mean distance 3 px");
    expect(document.body.innerHTML).not.toContain("NaN");
  });
});

describe("playing through training", () => {
  async function pass(ms: number) {
    for (let i = 0; i < ms / 50; i++) {
      await vi.advanceTimersByTimeAsync(50);
      flushSync();
    }
  }
  async function play(view: string) {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
    world.moments = [0, 10, 20].map((step) => ({ ...best, id: step === 10 ? "best" : `step-${String(step).padStart(8, "0")}`, step }));
    show({ view, at: "step-00000000" });
    await pass(500);
    world.held = new RegExp(`^${view} best`);
    button("Play through training")!.click();
    await pass(2500);
  }

  for (const view of ["layers", "heads", "attention"])
    it(`waits for ${view}`, async () => {
      await play(view);
      expect(page.state.get("at")).toBe("best");
      world.release();
      await pass(1500);
      expect(page.state.get("at")).toBe("step-00000020");
    });

  it("rests while nobody sees the page", async () => {
    await play("heads");
    world.release();
    Object.defineProperty(document, "hidden", { configurable: true, value: true });
    await pass(2000);
    expect(page.state.get("at")).toBe("best");
    Object.defineProperty(document, "hidden", { configurable: true, value: false });
    await pass(1000);
    expect(page.state.get("at")).toBe("step-00000020");
  });
});

describe("another picture", () => {
  it("is not mixed with the one before: its matrices are asked for once, after its summary", async () => {
    world.pinned = 2;
    await open({ view: "attention" });
    world.held = /^attention best sample:01/;
    world.asked = [];
    page.state.set({ image: "sample:01" });
    await settle();
    expect(world.asked).toEqual(["attention best sample:01"]);
    world.release();
    await settle();
    expect(world.asked).toEqual(["attention best sample:01", "attention/0 best sample:01"]);
  });

  it("of one's own is not sent at a snapshot, by pasting either", async () => {
    const sent = vi.fn(() => Promise.resolve({ id: "upload:1" }));
    await open({ view: "attention", at: "step-00000005" }, { ...source, upload: sent });
    const paste = () => {
      const event = Object.assign(new Event("paste", { cancelable: true }), { clipboardData: { files: [new File(["x"], "x.png", { type: "image/png" })] } });
      window.dispatchEvent(event);
    };
    paste();
    await settle();
    expect(sent).not.toHaveBeenCalled();
    page.state.set({ at: null });
    await settle();
    paste();
    expect(sent).toHaveBeenCalledOnce();
  });
});

describe("after an absence of the server", () => {
  it("what failed is asked for again, and new moments with it", async () => {
    world.failing = /^(heads|layer)/;
    await open({ view: "heads" });
    world.failing = null;
    world.asked = [];
    connection.lost();
    connection.answered(200);
    await settle();
    expect(world.asked).toEqual(expect.arrayContaining(["heads best", "overview"]));
    expect(alerts()).toBe(0);
  });

  it("so are the matrices of attention", async () => {
    world.failing = /^attention\//;
    await open({ view: "attention" });
    expect(alerts()).toBe(1);
    world.failing = null;
    connection.lost();
    connection.answered(200);
    await settle();
    expect(alerts()).toBe(0);
  });
});

describe("layers at a snapshot", () => {
  it("are unpacked once, not again for each layer that is chosen", async () => {
    const names = [0, 1, 2].map((index) => ({ index, id: `blocks.${index}.fc`, role: "fc1", block: index, shape: [4, 4] }));
    const zeros = (dtype: "float32" | "int32", shape: number[]) => ({
      dtype,
      shape,
      data: Buffer.from(new Float32Array(shape.reduce((a, b) => a * b)).fill(0.5).buffer).toString("base64"),
    });
    const reads = new Map<number, number>();
    const moments = [5, 7].map((step) => {
      const maps = zeros("float32", [3, 24, 24]);
      const { data } = maps;
      Object.defineProperty(maps, "data", { get: () => (reads.set(step, (reads.get(step) ?? 0) + 1), data) });
      return {
        step,
        epoch: 0,
        frobenius: zeros("float32", [3]),
        effective_rank: null,
        change: null,
        histogram: zeros("int32", [3, 4]),
        edges: zeros("float32", [3, 5]),
        maps,
      };
    });
    expect(unpack(moments[0]!.frobenius).values[0]).toBe(0.5);
    const before = documents["timeline/layers"]!;
    documents["timeline/layers"] = () => ({ layers: names, moments });
    world.moments = [snapshot(5), snapshot(7), best];
    await open({ view: "layers", at: "step-00000005" });
    expect(reads.get(7)).toBe(1);
    page.state.set({ matrix: "blocks.2.fc" });
    await settle();
    documents["timeline/layers"] = before;
    expect(reads.get(7)).toBe(1);
  });
});
