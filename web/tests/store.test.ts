import "./stubs";
import { afterEach, describe, expect, it, vi } from "vitest";
import { api, type SeriesAnswer, type WireSeries } from "../src/api";
import { RunSeries } from "../src/charts/store.svelte";

const wire = (steps: number[], f: (k: number) => number, more: Partial<WireSeries> = {}): WireSeries => ({
  step: steps, epoch: steps.map((k) => k / 10), time: steps.map((k) => 1000 + k), value: steps.map(f), ...more,
});
const range = (from: number, to: number, by = 1) => Array.from({ length: Math.floor((to - from) / by) + 1 }, (_, i) => from + i * by);
const answer = (series: Record<string, WireSeries>): SeriesAnswer => ({ cursor: "1", axis: "step", series, attempts: [], notices: [] });

afterEach(() => vi.restoreAllMocks());

/** A run of 100 steps, known in tens, and looked at closely from step 71 to 100. */
async function zoomed(): Promise<RunSeries> {
  const store = new RunSeries("r");
  vi.spyOn(api, "series").mockResolvedValueOnce(answer({ "train/loss": wire(range(10, 100, 10), (k) => k, { count: 100, is_exact: false }) }));
  await store.load();
  vi.spyOn(api, "series").mockResolvedValueOnce(answer({ "train/loss": wire(range(71, 100), (k) => k) }));
  await store.zoom({ axis: "step", from: 71, to: 104 });
  return store;
}
const steps = (store: RunSeries) => store.get("train/loss")!.step;

describe("the curves of a run that is looked at closely", () => {
  it("are fine there and coarse elsewhere, and coarse again without", async () => {
    const store = await zoomed();
    expect(steps(store)).toEqual([...range(10, 70, 10), ...range(71, 100)]);
    await store.zoom(null);
    expect(steps(store)).toEqual(range(10, 100, 10));
  });

  it("take over what another attempt recorded anew, there too", async () => {
    const store = await zoomed();
    store.add({ "train/loss": wire([99, 100, 101], (k) => -k, { replaces: [99, 100] }) });
    const { step, value } = store.get("train/loss")!;
    expect(step.slice(-5)).toEqual([97, 98, 99, 100, 101]);
    expect(value.slice(-3)).toEqual([-99, -100, -101]);
  });

  it("go back with a resume", async () => {
    const store = await zoomed();
    store.resumed(2, 80);
    expect(steps(store).at(-1)).toBe(80);
    expect(store.attempts).toEqual([{ attempt: 2, from_step: 80 }]);
  });

  it("have each new point once, within the range and behind it", async () => {
    const store = await zoomed();
    store.add({ "train/loss": wire(range(101, 108), (k) => k) });
    expect(steps(store).slice(-10)).toEqual(range(99, 108));
  });
});
