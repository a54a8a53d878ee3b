/** What is chosen by pointer, keys and fingers, and that the address holds it. */
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

import { begin, best, button, documents, end, fill, open, pack, page, press, recorder, rest, settle, snapshot, text, world } from "./inside-model";

beforeEach(begin);
afterEach(end);

const filters = () => ({
  patch: { count: 6, height: 2, width: 2, pixels: pack("uint8", [6, 2, 2, 3], fill(72, 200)), reason: "" },
  scale: 0.5,
  position: { grid: [2, 2], similarity: pack("float32", [4, 2, 2], [1, 0.5, 0.2, -0.4, 0.5, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]) },
  position_reason: "",
});
const focused = () => document.activeElement as HTMLElement;

describe("the address", () => {
  it("holds what the bars show", async () => {
    await open({ shade: "flops" });
    expect(document.querySelector<HTMLInputElement>('input[value="flops"]')!.checked).toBe(true);
    document.querySelector<HTMLElement>('input[value="parameters"]')!.click();
    expect(page.state.get("shade")).toBeNull();
    document.querySelector<HTMLElement>('input[value="flops"]')!.click();
    expect(page.state.get("shade")).toBe("flops");
  });

  it("holds the layer of the rollout", async () => {
    const whole = documents.attention!;
    documents.attention = (query) => ({ ...(whole(query) as object), rollout: pack("float32", [3, 5], fill(15, 0.2)) });
    await open({ view: "attention", rollout: "1" });
    documents.attention = whole;
    const slider = document.querySelector<HTMLInputElement>('.beside input[type="range"]')!;
    expect(slider.value).toBe("1");
    slider.value = "0";
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    expect(page.state.get("rollout")).toBe("0");
  });

  it("holds the filter and its contrast, and the position", async () => {
    documents.filters = filters;
    await open({ view: "layers", matrix: "filters", filter: "4", stretch: "own" });
    expect(text()).toContain("Channel 4");
    expect(text()).toContain("each is stretched");
    press(document.querySelector("[role=application]"), "ArrowRight");
    expect(page.state.get("filter")).toBe("5");
    page.state.set({ matrix: "positions", position: "3" });
    await settle();
    expect(text()).toContain("Position (row 1, column 1)");
    press(document.querySelector("[role=application]"), "ArrowUp");
    expect(page.state.get("position")).toBe("1");
  });

  it("holds the part of the matrix, and leads back to it", async () => {
    const all = documents.layers!;
    const { layers } = all({}) as { layers: object[] };
    documents.layers = () => ({ layers: layers.map((layer) => ({ ...layer, shape: [512, 512] })) });
    await open({ view: "layers", sight: "128-192.64-128" });
    expect(world.asked.some((words) => /^layer\/0 best 1(12|20|28):/.test(words))).toBe(true);
    press(document.querySelector(".map"), "0");
    await rest();
    expect(page.state.get("sight")).toBeNull();
    press(document.querySelector(".map"), "+");
    await rest();
    expect(page.state.get("sight")).toMatch(/^\d+-\d+\.\d+-\d+$/);
    const before = page.state.get("sight");
    page.state.set({ sight: "0-16.0-16" });
    world.asked = [];
    await rest();
    expect(world.asked.some((words) => / 0:(16|18|20) 0:(16|18|20|2\d)/.test(words))).toBe(true);
    expect(page.state.get("sight")).not.toBe(before);
    documents.layers = all;
  });
});

describe("the focus", () => {
  const panel = () => document.querySelector("[role=tabpanel]");
  it("goes to the view that a jump leads to", async () => {
    await open();
    document.querySelector<HTMLElement>("[data-cell]")!.click();
    await settle();
    expect(page.state.get("view")).toBe("attention");
    expect(focused()).toBe(panel());
  });

  it("and to the view whose button is gone with the snapshot", async () => {
    await open({ view: "attention", at: "step-00000005" });
    button("Every token at step 10")!.click();
    await settle();
    expect(page.state.get("at")).toBe("best");
    expect(focused()).toBe(panel());
  });

  it("stays on the tab where a tab is chosen", async () => {
    await open();
    const tab = document.querySelectorAll<HTMLElement>("[role=tab]")[1]!;
    tab.focus();
    tab.click();
    await settle();
    expect(focused()).toBe(tab);
  });
});

describe("keys", () => {
  it("lead to the table of entropies by one stop, and on by arrows", async () => {
    await open();
    const cells = [...document.querySelectorAll<HTMLElement>("[data-cell]")];
    expect(cells).toHaveLength(2);
    expect(cells.filter((cell) => cell.tabIndex === 0)).toHaveLength(1);
    press(cells[0], "ArrowRight");
    await settle(2);
    expect(focused()).toBe(cells[1]);
    expect(cells.map((cell) => cell.tabIndex)).toEqual([-1, 0]);
  });

  it("open a box of the graph by Space too, which scrolls no page", async () => {
    await open();
    const box = document.querySelector('[data-id="blocks"]')!;
    const wasOpen = box.getAttribute("aria-expanded");
    page.state.set({ node: "blocks" });
    await settle(2);
    const space = new KeyboardEvent("keydown", { key: " ", bubbles: true, cancelable: true });
    document.querySelector('[data-id="blocks"]')!.dispatchEvent(space);
    await settle(2);
    expect(space.defaultPrevented).toBe(true);
    const now = document.querySelector('[data-id="blocks"]')!;
    expect(now.getAttribute("aria-expanded")).not.toBe(wasOpen);
    expect(now.hasAttribute("aria-pressed")).toBe(false);
  });

  it("move through the modules of the table, and tell each", async () => {
    await open();
    const names = [...document.querySelectorAll<HTMLElement>("th[scope=row] button")];
    const at = names.findIndex((name) => name.dataset.id === "blocks.0.attn");
    press(names[at], "ArrowDown");
    await settle(2);
    expect(page.state.get("node")).toBe("blocks.0.attn.qkv");
    expect(document.querySelector(".detail")!.textContent).toContain("blocks.0.attn.qkv");
    expect(document.querySelector(".detail")!.closest("[aria-live]")).toBeNull();
  });

  it("read the histogram bar by bar", async () => {
    await open({ view: "layers" });
    const plot = [...document.querySelectorAll("figure")].find((each) => each.textContent?.includes("Histogram"))!;
    expect(plot.textContent).toContain("40 weights");
    press(plot.querySelector("svg"), "End");
    await settle(2);
    expect(plot.textContent).toContain("0.975 to 1: 1");
  });

  it("move through the layers of a snapshot and read its cells", async () => {
    const names = [0, 1].map((index) => ({ index, id: `blocks.${index}.fc`, role: "fc1", block: index, shape: [4, 4] }));
    const moment = {
      step: 5,
      epoch: 0,
      frobenius: pack("float32", [2], [1.3, 1.24]),
      effective_rank: null,
      change: null,
      histogram: pack("int32", [2, 2], fill(4, 1)),
      edges: pack("float32", [2, 3], [0, 1, 2, 0, 1, 2]),
      maps: pack("float32", [2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]),
    };
    const before = documents["timeline/layers"]!;
    documents["timeline/layers"] = () => ({ layers: names, moments: [moment] });
    world.moments = [snapshot(5), best];
    await open({ view: "layers", at: "step-00000005" });
    documents["timeline/layers"] = before;
    expect(text()).toContain("1.30"); // beside 1.24
    press(document.querySelector('button[data-id="blocks.0.fc"]'), "ArrowDown");
    await settle(2);
    expect(page.state.get("matrix")).toBe("blocks.1.fc");
    const map = document.querySelector(".map");
    press(map, "ArrowRight");
    press(map, "ArrowRight");
    await settle(2);
    expect(text()).toContain("cell (0, 1): mean 6");
  });
});

describe("what is spoken", () => {
  it("comes from the one panel that is pointed at", async () => {
    await open({ view: "heads" });
    const plots = [...document.querySelectorAll("section[aria-label] svg[role=application]")];
    expect(plots.length).toBeGreaterThan(1);
    plots[0]!.dispatchEvent(new FocusEvent("focus"));
    press(plots[0], "ArrowRight");
    await settle(2);
    expect(document.querySelectorAll('.foot [aria-live="polite"]')).toHaveLength(1);
    plots[0]!.dispatchEvent(new FocusEvent("blur"));
    await settle(2);
    expect([...document.querySelectorAll(".foot [aria-live]")].map((each) => each.textContent)).toEqual(plots.map(() => ""));
  });
});

describe("wheel and fingers over the graph", () => {
  const svg = () => document.querySelector<SVGSVGElement>(".stage svg")!;
  const place = () => svg().querySelector(":scope > g")!.getAttribute("transform");
  const wheel = (more: object = {}) => {
    const event = new WheelEvent("wheel", { deltaY: -100, bubbles: true, cancelable: true, ...more });
    svg().dispatchEvent(event);
    flushSync();
    return event.defaultPrevented;
  };
  const pointer = (name: string, id: number, x: number, y: number, pointerType = "touch") =>
    svg().dispatchEvent(Object.assign(new MouseEvent(name, { bubbles: true, clientX: x, clientY: y, button: 0 }), { pointerId: id, pointerType }));
  const touches = (name: string, count: number) => {
    const event = Object.assign(new Event(name, { bubbles: true, cancelable: true }), { touches: { length: count } });
    svg().dispatchEvent(event);
    return event.defaultPrevented;
  };
  beforeEach(() => {
    for (const name of ["setPointerCapture", "hasPointerCapture"] as const) Object.defineProperty(Element.prototype, name, { configurable: true, value: () => false });
  });

  it("the wheel alone scrolls the page; with Ctrl, or in the focused graph, it zooms", async () => {
    await open();
    const at = place();
    expect(wheel()).toBe(false);
    expect(place()).toBe(at);
    expect(wheel({ ctrlKey: true })).toBe(true);
    expect(place()).not.toBe(at);
    const zoomed = place();
    svg().querySelector<SVGElement>('[tabindex="0"]')!.focus();
    expect(wheel()).toBe(true);
    expect(place()).not.toBe(zoomed);
    expect(text()).toContain("Ctrl");
  });

  it("one finger scrolls the page, two move and enlarge", async () => {
    await open();
    for (let i = 0; i < 3; i++) press(svg(), "+"); // larger than its place, so that it could move
    flushSync();
    const at = place();
    expect(touches("touchstart", 1)).toBe(false);
    pointer("pointerdown", 1, 100, 100);
    pointer("pointermove", 1, 100, 160);
    flushSync();
    expect(place()).toBe(at);
    expect(touches("touchstart", 2)).toBe(true);
    pointer("pointerdown", 2, 200, 100);
    pointer("pointermove", 2, 320, 100);
    flushSync();
    expect(place()).not.toBe(at);
  });

  it("a mouse moves it", async () => {
    await open();
    press(svg(), "+");
    flushSync();
    const at = place();
    pointer("pointerdown", 1, 100, 100, "mouse");
    pointer("pointermove", 1, 130, 140, "mouse");
    flushSync();
    expect(place()).not.toBe(at);
  });
});

describe("what is drawn", () => {
  it("the matrix: its numbers as colours, red for what adds", async () => {
    const before = documents["layer/0"]!;
    documents["layer/0"] = (query) => ({ ...(before(query) as object), mean: pack("float32", [12, 4], [0.3, -0.3, ...fill(46, 0)]) });
    await open({ view: "layers" });
    documents["layer/0"] = before;
    const mosaic = recorder(document.querySelector(".map canvas")).drawn.at(-1)!.from!;
    const [red, blue, zero] = [mosaic.pixel(0, 0), mosaic.pixel(1, 0), mosaic.pixel(2, 0)] as [number[], number[], number[]];
    expect(red[0]).toBeGreaterThan(red[2]! + 60);
    expect(blue[2]).toBeGreaterThan(blue[0]! + 60);
    expect(Math.min(...zero)).toBeGreaterThan(240);
  });

  it("attention: the brightest patch is the one with the largest share, prefix tokens left out", async () => {
    const before = documents["attention/0"]!;
    // Row 0 (the class token): 0.5 on itself, 0.25 on the third patch, 0.0625 elsewhere.
    const row = [0x3800, 0x2c00, 0x2c00, 0x3400, 0x2c00];
    const matrix = { dtype: "float16", shape: [2, 5, 5], data: Buffer.from(Uint16Array.from([...row, ...fill(20, 0x3266), ...row, ...fill(20, 0x3266)]).buffer).toString("base64") };
    documents["attention/0"] = () => ({ layer: 0, kind: "global", weights: matrix });
    await open({ view: "attention", layer: "0", head: "0" });
    documents["attention/0"] = before;
    const veil = recorder(document.querySelector(".patches canvas")).drawn.at(-1)!.from!;
    const alpha = [veil.pixel(0, 0), veil.pixel(1, 0), veil.pixel(0, 1), veil.pixel(1, 1)].map((pixel) => pixel[3]!);
    expect(alpha[2]).toBe(0);
    expect(Math.min(alpha[0]!, alpha[1]!, alpha[3]!)).toBeGreaterThan(100);
    expect(document.querySelector(".said")!.textContent).toContain("patch (1, 0): 25.0%");
  });

  it("rollout: its patches, not its prefix token", async () => {
    await open({ view: "attention" });
    const canvas = [...document.querySelectorAll(".beside canvas")].at(-1)!;
    const veil = recorder(canvas).drawn.at(-1)!.from!;
    expect(veil.pixel(0, 0)[3]).toBe(0); // 0.5, the first patch
    expect(veil.pixel(1, 0)[3]).toBeGreaterThan(100);
  });

  it("a snapshot's thumbnail, in its own scale", async () => {
    await open({ view: "attention", at: "step-00000005", layer: "0", head: "0" });
    expect(document.querySelector(".said")!.textContent).toContain("30.0%"); // 255 of 255, of at most 0.3
  });

  it("heads: more is higher up, and the colours begin at the smallest", async () => {
    await open({ view: "heads" });
    const entropy = [...document.querySelectorAll("section")].find((each) => each.getAttribute("aria-label") === "Entropy")!;
    const [first, second] = [...entropy.querySelectorAll(".dot")].map((dot) => Number(dot.getAttribute("cy")));
    expect(first).toBeLessThan(second!); // 1.5 above 1
    const [most, least] = [...entropy.querySelectorAll(".cell")].map((cell) => cell.getAttribute("fill"));
    expect(most).not.toBe(least);
    expect(entropy.querySelector("figure")!.getAttribute("aria-label")).toBe("nats: 1.00 … 1.25 … 1.50");
  });
});
