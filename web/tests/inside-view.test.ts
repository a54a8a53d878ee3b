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

import { begin, documents, end, open, overview, page, settle, show, snapshot, source, text, world } from "./inside-model";

beforeEach(begin);
afterEach(end);

describe("Inside", () => {
  it("opens with modules and entropies as text, and the prediction", async () => {
    await open();
    expect(text()).toContain("blocks.0.attn.qkv");
    expect(text()).toContain("1.25");
    expect(text()).toContain("75.0%");
    expect(world.asked).toContain("attention best sample:00");
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
      expect(page.state.get("view")).toBe(view);
      expect(tabs[i]!.getAttribute("aria-selected")).toBe("true");
      expect(document.querySelector("[role=alert]")).toBeNull();
    }
    expect(world.asked).toEqual(expect.arrayContaining(["layers best", "layer/0 best 0:12 0:4", "attention/0 best sample:00", "heads best"]));
  });

  it("moves through layers and heads by keys", async () => {
    await open({ view: "attention" });
    const cell = document.querySelector<HTMLElement>('[role=gridcell][tabindex="0"]')!;
    cell.dispatchEvent(new KeyboardEvent("keydown", { key: "Home", bubbles: true, cancelable: true }));
    await settle();
    expect([page.state.get("layer"), page.state.get("head")]).toEqual(["0", "0"]);
    expect(document.querySelector('[role=gridcell][aria-selected="true"]')?.getAttribute("data-cell")).toBe("0 0");
  });

  it("a snapshot shows what it keeps, and the way to the checkpoint", async () => {
    await open({ view: "attention", at: "step-00000005" });
    expect(world.asked).toContain("timeline sample:00");
    expect(world.asked).not.toContain("attention step-00000005 sample:00");
    expect(text()).toContain("dog");
    expect(text()).toContain("5.0%");
    expect(text()).toContain("Every token at step 10");
  });

  it("a moment that comes is followed until the person moves", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      world.status = "running";
      world.moments = [snapshot(5)];
      show({ view: "attention" });
      const pass = async () => {
        for (let i = 0; i < 12; i++) {
          await vi.advanceTimersByTimeAsync(200);
          flushSync();
        }
      };
      await pass();
      expect(text()).toContain("step 5");
      world.moments = [snapshot(5), snapshot(7)];
      page.tell(7);
      await pass();
      expect(text()).toContain("step 7");
      expect(page.state.get("at")).toBeNull();
      page.state.set({ at: "step-00000005" });
      world.moments = [...world.moments, snapshot(9)];
      page.tell(9);
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
    page.tell(5);
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
