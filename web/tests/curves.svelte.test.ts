import "./stubs";
import { flushSync, mount, unmount } from "svelte";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

vi.mock("uplot", () => import("./uplot"));

import { api, type RunSummary, type SeriesAnswer } from "../src/api";
import { RunSeries } from "../src/charts/store.svelte";
import Curves from "../src/pages/Curves.svelte";
import { router, urlState } from "../src/router.svelte";
import { sight } from "./stubs";

const run = { id: "r", name: "r", status: "running", best_val_top1: null } as RunSummary;
const steps = Array.from({ length: 50 }, (_, i) => 2 * i);
const answer = (isExact: boolean): SeriesAnswer => ({
  cursor: "1",
  axis: "time",
  series: { "train/loss": { step: steps, epoch: steps.map((k) => k / 10), time: steps.map((k) => 5000 + k), value: steps.map((k) => 1 / (k + 1)), count: isExact ? 50 : 100, is_exact: isExact } },
  attempts: [],
  notices: [],
});

let shown: Record<string, unknown> | null = null;
let store: RunSeries;
let asked: ReturnType<typeof vi.spyOn>;

async function open(address: string) {
  router.go(address);
  store = new RunSeries("r");
  asked = vi.spyOn(api, "series").mockImplementation(() => Promise.resolve(answer(false)));
  await store.load();
  asked.mockClear();
  shown = mount(Curves, { target: document.body, props: { run, store, reload: () => undefined } });
  flushSync();
}
async function pass(ms: number) {
  for (let t = 0; t < ms; t += 50) {
    await vi.advanceTimersByTimeAsync(50);
    flushSync();
  }
}
const button = (label: string) => document.querySelector<HTMLElement>(`button[aria-label^="${label}"]`)!;

beforeEach(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => {
  if (shown) void unmount(shown);
  shown = null;
  document.body.innerHTML = "";
  sight.isNear = true;
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("the page of curves", () => {
  it("asks once for a range that is looked at closely, whatever comes and whatever else is chosen", async () => {
    await open("runs/r/curves?axis=time&range=10~40");
    await pass(2000);
    expect(asked).toHaveBeenCalledTimes(1);
    store.add({ "train/loss": { step: [100], epoch: [10], time: [5100], value: [0.01] } });
    await pass(500);
    urlState.set({ smoothing: "0.5" });
    await pass(500);
    expect(asked).toHaveBeenCalledTimes(1);
    urlState.set({ range: "20~40" });
    await pass(500);
    expect(asked).toHaveBeenCalledTimes(2);
    expect(asked.mock.lastCall![1]).toMatchObject({ axis: "time", from: 5020, to: 5040 });
  });

  it("zooms by buttons, which stay where they are", async () => {
    await open("runs/r/curves");
    expect(button("Whole range").getAttribute("aria-disabled")).toBe("true");
    button("Zoom in").click();
    flushSync();
    expect(urlState.get("range")).toBe("24.5~73.5");
    const whole = button("Whole range");
    whole.focus();
    whole.click();
    flushSync();
    expect(urlState.get("range")).toBeNull();
    expect(document.activeElement).toBe(whole);
  });

  it("has the titles of charts that are far from the screen", async () => {
    sight.isNear = false;
    await open("runs/r/curves");
    expect([...document.querySelectorAll("h2")].map((h) => h.textContent)).toContain("Loss");
    expect(document.querySelector('[role="application"]')).toBeNull();
  });

  it("tells what the signs on the charts stand for, those that there are", async () => {
    await open("runs/r/curves?smoothing=0");
    expect(document.querySelector(".key")).toBeNull();
    store.notice([{ time: 5010, step: 10, level: "warning", text: "odd" }]);
    store.resumed(2, 20);
    urlState.set({ smoothing: "0.5" });
    flushSync();
    expect(document.querySelector(".key")!.textContent!.trim().replace(/\s+/g, " ")).toBe("▼resumed from here▼warning or error ~smoothed value");
    expect(document.querySelector<HTMLElement>(".smooth")!.title).toBe("smoothed value");
    urlState.set({ smoothing: null });
  });

  it("keeps a chart that has the focus while it is scrolled away", async () => {
    await open("runs/r/curves");
    const plot = document.querySelector<HTMLElement>('[role="application"]')!;
    plot.focus();
    sight.tell(false);
    flushSync();
    expect(document.activeElement).toBe(plot);
    plot.blur();
    flushSync();
    expect(document.querySelector('[role="application"]')).toBeNull();
  });
});
