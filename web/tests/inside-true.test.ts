/** What the views say is what they show: where attention lies, which moment a number is of, what an address asked for. */
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

import type { DocumentSource } from "../src/documents";
import { ON_PICTURE } from "../src/inside/picture";
import { begin, button, documents, end, open, overview, pack, page, recorder, settle, snapshot, source, text, world } from "./inside-model";

const before = { ...documents };
beforeEach(begin);
afterEach(() => {
  end();
  Object.assign(documents, before);
});

describe("attention on the picture", () => {
  const stage = () => recorder(document.querySelector(".patches canvas"));
  const most = () => stage().frames.filter(({ colour }) => colour === ON_PICTURE.most).map(({ at }) => at);

  it("outlines the patch that has the most, whatever the picture shows there", async () => {
    await open({ view: "attention", at: "step-00000005", layer: "0", head: "0" });
    expect(most()).toHaveLength(1);
    await settle();
    page.state.set({ at: "best", head: "1" });
    await settle();
    expect(most()).toHaveLength(1);
    expect(document.querySelector(".said .most")).not.toBeNull();
  });

  it("is in colours where the picture is too dark for veils, unless somebody chose", async () => {
    world.lightness = 20;
    await open({ view: "attention" });
    const mosaic = stage().drawn.at(-1)!.from!;
    const alphas = [mosaic.pixel(0, 0)[3]!, mosaic.pixel(1, 1)[3]!];
    expect(document.querySelector<HTMLInputElement>('input[value="colour"]')!.checked).toBe(true);
    expect(Math.max(...alphas)).toBeLessThan(230); // the picture stays in sight
    page.state.set({ overlay: "brightness" });
    await settle();
    expect(document.querySelector<HTMLInputElement>('input[value="brightness"]')!.checked).toBe(true);
    end();
    world.lightness = 200;
    await open({ view: "attention" });
    expect(document.querySelector<HTMLInputElement>('input[value="brightness"]')!.checked).toBe(true);
  });

  it("writes the patch that is held into the address at once", async () => {
    await open({ view: "attention" });
    const now = vi.spyOn(page.state, "set");
    const patches = document.querySelector<HTMLElement>(".patches")!;
    patches.dispatchEvent(new MouseEvent("click", { bubbles: true, clientX: 1, clientY: 1 }));
    expect(now.mock.lastCall![1]).toMatchObject({ now: true });
    expect(page.state.get("token")).not.toBeNull();
  });
});

describe("the heads", () => {
  it("show the line that is spoken of, however far above the dots it lies", async () => {
    const heads = before.heads!;
    documents.heads = (query) => ({ ...(heads(query) as object), max_entropy: 4 });
    await open({ view: "heads" });
    const line = document.querySelector("line.reference")!;
    expect(Number(line.getAttribute("y1"))).toBeGreaterThan(0);
    expect(Number(line.getAttribute("y1"))).toBeLessThan(Math.min(...[...document.querySelectorAll('[aria-label="Entropy"] .dot')].map((dot) => Number(dot.getAttribute("cy")))));
    expect(text()).not.toContain("how much at the class token"); // none is shown
  });
});

describe("an address that asks for what is not there", () => {
  it("is corrected, and that is said until somebody goes on", async () => {
    await open({ view: "attention", at: "step-00000099", layer: "9", head: "7", token: "99" });
    const told = () => document.querySelector(".notes")?.textContent ?? "";
    for (const words of ["no moment “step-00000099”", "step 10 is shown", "no layer 9 here; layer 0", "no head 7", "no token 99"]) expect(told()).toContain(words);
    expect(["at", "layer", "head", "token"].map((name) => page.state.get(name))).toEqual(["best", null, null, null]);
    page.state.set({ head: "1" });
    await settle();
    expect(told()).toBe("");
  });

  it("is so for a view, and for a moment that is no step", async () => {
    await open({ view: "nonsense", at: "99999" });
    expect(document.querySelector(".notes")!.textContent).toContain("no view “nonsense”; Architecture is shown");
    expect([page.state.get("view"), page.state.get("at")]).toEqual([null, null]);
  });

  it("and not where the same moment has another name", async () => {
    await open({ at: "step-00000010" });
    expect(document.querySelector(".notes")).toBeNull();
  });
});

describe("moments", () => {
  it("“Live” is said only while the newest is followed", async () => {
    world.status = "running";
    world.moments = [snapshot(5), snapshot(7)];
    await open({ view: "attention" });
    expect(document.querySelector(".live")!.textContent).toBe("Live");
    page.state.set({ at: "step-00000005" });
    await settle();
    expect(document.querySelector(".live")!.textContent).toBe("To the newest");
  });

  it("a checkpoint between two recorded moments stands in the course of training under its own step", async () => {
    const moment = (step: number) => ({ step, epoch: null, frobenius: pack("float32", [1], [step]), effective_rank: null, change: null, histogram: pack("int32", [1, 1], [1]), edges: pack("float32", [1, 2], [0, 1]), maps: pack("float32", [1, 1, 1], [1]) });
    documents["timeline/layers"] = () => ({ layers: [{ index: 0, id: "blocks.0.attn.qkv", role: "qkv", block: 0, shape: [12, 4] }], moments: [moment(5), moment(12)] });
    await open({ view: "layers" });
    const course = [...document.querySelectorAll("section")].find((each) => each.getAttribute("aria-label") === "Over training")!;
    expect(course.textContent).toContain("step 10: 1"); // the layer's own norm, at the step that the time line names
    expect(course.textContent).not.toContain("step 12: ");
  });
});

describe("pictures", () => {
  const withUploads: DocumentSource = { get: source.get, images: () => Promise.resolve({ total: 0, images: [], splits: {} }), upload: (file) => Promise.resolve({ id: `upload:${(file as File).name}` }), thumbnail: (id) => `thumb/${id}` };

  it("say which part of the data they are of", async () => {
    world.pinned = 2;
    documents.overview = () => ({ ...overview(), pinned: [{ id: "sample:00", label: "cat", split: "val" }, { id: "sample:01", label: "dog", split: "test" }] });
    await open({ view: "attention" }, withUploads);
    expect([...document.querySelectorAll(".thumb")].map((each) => each.getAttribute("aria-label"))).toEqual(expect.arrayContaining(["cat · Validation", "dog · Test"]));
    expect([...document.querySelectorAll(".row .hint")].map((each) => each.textContent)).toEqual(expect.arrayContaining(["Validation", "Test"]));
  });

  it("of one's own have their names, and earlier ones can be gone back to", async () => {
    await open({ view: "attention" }, withUploads);
    for (const name of ["one.png", "two.png"]) {
      const paste = Object.assign(new Event("paste"), { clipboardData: { files: [new File(["x"], name, { type: "image/png" })] } });
      window.dispatchEvent(paste);
      await settle();
    }
    expect(page.state.get("image")).toBe("upload:two.png");
    expect(document.querySelector(".own")!.textContent).toBe("two.png");
    button("one.png")!.click();
    flushSync();
    expect(page.state.get("image")).toBe("upload:one.png");
  });
});

describe("the graph", () => {
  it("shows all blocks that are alike closed, side by side, and all of them in sight", async () => {
    const structure = before.structure!({}) as { nodes: { id: string; name: string; parent: string | null; order: number }[]; edges: object[]; folds: object[] };
    const block = structure.nodes.find(({ id }) => id === "blocks.0")!;
    const more = [1, 2, 3].map((i) => ({ ...block, id: `blocks.${i}`, name: String(i), order: 10 + i }));
    documents.structure = () => ({ ...structure, nodes: [...structure.nodes, ...more], folds: [{ id: "blocks", first: "blocks.0", count: 4, members: ["blocks.0", ...more.map(({ id }) => id)] }] });
    await open();
    const boxes = () => [...document.querySelectorAll(".stage [data-id]")].map((box) => box.getAttribute("data-id"));
    expect(boxes()).toContain("blocks.0.attn");
    button("Show all 4")!.click();
    await settle();
    expect(boxes()).toEqual(expect.arrayContaining(["blocks.0", "blocks.1", "blocks.2", "blocks.3"]));
    expect(boxes()).not.toContain("blocks.0.attn");
  });
});
