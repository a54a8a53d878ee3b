import "./stubs";
import { flushSync, mount, unmount } from "svelte";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

vi.mock("uplot", () => import("./uplot"));

import type { RunSummary } from "../src/api";
import { api } from "../src/api";
import { RunSeries } from "../src/charts/store.svelte";
import Curves from "../src/pages/Curves.svelte";
import { startPrinting } from "../src/printing.svelte";
import { theme } from "../src/theme.svelte";
import { sight } from "./stubs";
import { made } from "./uplot";

let shown: Record<string, unknown> | null = null;
const width = 900;

beforeEach(() => {
  startPrinting();
  Object.defineProperty(HTMLElement.prototype, "clientWidth", { configurable: true, get: () => (document.documentElement.classList.contains("printing") ? 700 : width) });
});
afterEach(() => {
  if (shown) void unmount(shown);
  shown = null;
  document.body.innerHTML = "";
  sight.isNear = true;
  vi.restoreAllMocks();
});

describe("on paper", () => {
  it("all charts are drawn anew for its width, light, before the browser goes on; and as they were afterwards", async () => {
    if (theme.current === "light") theme.toggle();
    const store = new RunSeries("r");
    const step = [1, 2, 3];
    vi.spyOn(api, "series").mockResolvedValue({ cursor: "1", axis: "step", attempts: [], notices: [], series: { "train/loss": { step, epoch: step, time: step, value: step }, "/lr": { step, epoch: step, time: step, value: step } } });
    await store.load();
    sight.isNear = false; // none is near the screen
    shown = mount(Curves, { target: document.body, props: { run: { id: "r", name: "r", status: "finished" } as RunSummary, store, reload: () => undefined } });
    flushSync();
    made.length = 0;
    dispatchEvent(new Event("beforeprint"));
    const drawn = made.filter((plot) => !plot.isDestroyed);
    expect(drawn.map((plot) => (plot.options as unknown as { width: number }).width)).toEqual([700, 700]);
    expect(document.querySelector(".bar")!.classList).toContain("noprint");
    expect(theme.current).toBe("light");
    expect(document.documentElement.dataset.theme).toBe("light");
    dispatchEvent(new Event("afterprint"));
    expect(theme.current).toBe("dark");
    expect(document.documentElement.classList.contains("printing")).toBe(false);
    expect(document.querySelector('[role="application"]')).toBeNull();
  });
});
