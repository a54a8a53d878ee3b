import "./stubs";
import { flushSync, mount, unmount } from "svelte";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

vi.mock("uplot", () => import("./uplot"));

import Chart from "../src/charts/Chart.svelte";
import type { Panel } from "../src/charts/panels";
import { RunSeries } from "../src/charts/store.svelte";
import { View } from "../src/charts/view.svelte";
import { language } from "../src/i18n/language.svelte";
import { makeState } from "./inside-state.svelte";
import { sight } from "./stubs";
import { made } from "./uplot";

const panel: Panel = { name: "loss", keys: ["train/loss"], group: "main", isPercent: false, mayBeLog: true };
const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
const points = (from: number, to: number) => {
  const step = Array.from({ length: to - from + 1 }, (_, i) => from + i);
  return { "train/loss": { step, epoch: step.map((k) => k / 10), time: step.map((k) => 1000 + k), value: step.map((k) => 1 / (k + 1)) } };
};

let store: RunSeries;
let view: View;
let shown: Record<string, unknown> | null = null;

function open(extra: Record<string, unknown> = {}, count = 5) {
  store = new RunSeries("r");
  store.add(points(1, count));
  view = new View(makeState({}), store);
  const props = { panel, store, view, marks: [], height: 200, runName: "run", words: () => "resumed here", ...extra };
  shown = mount(Chart, { target: document.body, props }) as Record<string, unknown>;
  flushSync();
}

const plot = () => document.querySelector<HTMLElement>('[role="application"]')!;
const press = (key: string) => {
  plot().dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  flushSync();
};

beforeEach(() => {
  made.length = 0;
  sight.isNear = true;
});
afterEach(() => {
  if (shown) void unmount(shown);
  shown = null;
  document.body.innerHTML = "";
  language.set("en");
});

describe("a chart", () => {
  it("is one plot through crosshair moves, new data and other ranges, and a new one for another scale", async () => {
    open({}, 20);
    expect(made).toHaveLength(1);
    for (let i = 0; i < 20; i++) press("ArrowLeft");
    expect(view.cross).toBe(1);
    expect(made[0]!.left).toBe(1);
    store.add(points(21, 60));
    flushSync();
    await frame();
    view.range = [2, 20];
    flushSync();
    await frame();
    expect(made).toHaveLength(1);
    expect(made[0]!.updates).toBeGreaterThanOrEqual(2);
    expect(made[0]!.data[0]).toHaveLength(60);
    view.toggle("log", "loss");
    flushSync();
    expect(made).toHaveLength(2);
    expect(made[0]!.isDestroyed).toBe(true);
  });

  it("shows the points of a short line, and no longer when it has grown", async () => {
    open();
    const series = (made[0]!.options as unknown as { series: { points: { show: () => boolean } }[] }).series.at(-1)!;
    expect(series.points.show()).toBe(true);
    store.add(points(6, 80));
    flushSync();
    await frame();
    expect(series.points.show()).toBe(false);
  });

  it("takes the keys from a screen reader, and says in words where the crosshair is and what happened there", () => {
    open({ marks: [{ kind: "resume", x: 5, step: 5, text: "", attempt: 2 }] });
    expect(plot().getAttribute("aria-roledescription")).toBe("chart");
    expect(plot().getAttribute("aria-label")).toBe("Loss by Step. Newest, at step 5: train: 0.1667");
    expect(plot().querySelector('[role="img"]')?.getAttribute("aria-label")).toBe("resumed here");
    plot().focus();
    press("End");
    const said = () => document.querySelector("[aria-live]")!.textContent;
    expect(said()).toBe("step 5, train: 0.1667, resumed here");
    language.set("zh");
    flushSync();
    expect(said()).toBe("第 5 步，训练：0.1667，resumed here");
    expect(plot().getAttribute("aria-label")).toBe("损失，按步。最新（第 5 步）：训练：0.1667");
  });

  it("has its title and value far from the screen, where nothing is drawn", () => {
    sight.isNear = false;
    open();
    expect(document.querySelector("h2")?.textContent).toBe("Loss");
    expect(document.querySelector("figcaption")?.textContent).toContain("0.1667");
    expect(made).toHaveLength(0);
  });

  it("has a menu that says of its button that it opens one, and whether it is open", () => {
    open();
    const button = document.querySelector<HTMLElement>(".menu button")!;
    expect([button.getAttribute("aria-haspopup"), button.getAttribute("aria-expanded"), button.getAttribute("aria-pressed")]).toEqual(["menu", "false", null]);
    button.click();
    flushSync();
    expect(button.getAttribute("aria-expanded")).toBe("true");
    expect(document.querySelectorAll("[aria-haspopup]")).toHaveLength(1);
  });
});
