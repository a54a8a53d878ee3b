import "./stubs";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { api, type RunSummary } from "../src/api";
import { sparklines } from "../src/runs/sparklines.svelte";

let recorded: number[] = [];
let asked = 0;
const run = (values: Partial<RunSummary>) => ({ id: "r", status: "running", epochs: 5, total_steps: 50, step: 0, best_val_top1: null, ...values }) as RunSummary;

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(api, "sparklines").mockImplementation(() => {
    asked++;
    return Promise.resolve({ r: { epoch: recorded.map((_, i) => i + 1), top1: recorded } });
  });
});
afterEach(() => vi.useRealTimers());

/** The row as it is told now, and what its curve is some time later. */
async function told(values: Partial<RunSummary>, ms = 100): Promise<number[] | undefined> {
  sparklines.want(run(values));
  await vi.advanceTimersByTimeAsync(ms);
  return sparklines.of("r");
}

describe("a sparkline", () => {
  it("has the newest epoch though that is validated after it is done, and the last one", async () => {
    recorded = [0.1];
    expect(await told({ step: 12, best_val_top1: 0.1 })).toEqual([0.1]);
    expect(await told({ step: 20, best_val_top1: 0.1 })).toEqual([0.1]); // done, not validated yet
    recorded = [0.1, 0.09]; // no better: nothing of its row tells of it
    await vi.advanceTimersByTimeAsync(5000);
    expect(await told({ step: 21, best_val_top1: 0.1 })).toEqual([0.1, 0.09]);
    recorded = [0.1, 0.09, 0.3];
    expect(await told({ step: 30, best_val_top1: 0.1 })).toEqual([0.1, 0.09, 0.3]);
    expect(await told({ step: 50, best_val_top1: 0.3 })).toEqual([0.1, 0.09, 0.3]);
    recorded = [0.1, 0.09, 0.3, 0.4, 0.5];
    expect(await told({ step: 50, best_val_top1: 0.5, status: "finished" })).toEqual(recorded);
  });

  it("is not asked for again and again", async () => {
    await told({ step: 50, best_val_top1: 0.5, status: "finished" }, 10_000);
    const before = asked;
    for (let i = 0; i < 5; i++) await told({ step: 50, best_val_top1: 0.5, status: "finished" }, 10_000);
    expect(asked).toBe(before);
  });
});
