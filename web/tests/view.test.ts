import { describe, expect, it } from "vitest";
import { RunSeries } from "../src/charts/store.svelte";
import { View } from "../src/charts/view.svelte";
import { router, startRouter, urlState } from "../src/router.svelte";
import { matching, nextOrder, readOrder, sorted, windowOf, writeOrder, COLUMNS, NEWEST_FIRST } from "../src/runs/list";
import { merged } from "../src/runs/store.svelte";
import type { RunSummary } from "../src/api";

function store(): RunSeries {
  const made = new RunSeries("r");
  made.add({ "train/loss": { step: [0, 100], epoch: [0, 10], time: [5000, 5200], value: [2, 1] } });
  return made;
}

describe("the state of the curves", () => {
  it("comes back from the address as it was", () => {
    const view = new View(urlState, store());
    router.go("runs/r/curves");
    expect([view.axis, view.smoothing, view.range, view.shown, view.isLog("loss")]).toEqual(["step", 0.8, null, [0, 100], false]);
    view.axis = "time";
    view.smoothing = 0.25;
    view.range = [12.5, 60];
    view.toggle("log", "loss");
    view.toggle("log", "lr");
    view.toggle("hide", "val/loss");
    view.toggle("hide", "train/odd, 100%");
    view.toggle("table", "top1");
    const address = `runs/r/curves?${router.query}`;
    router.go("runs");
    router.go(address);
    const again = new View(urlState, store());
    expect([again.axis, again.smoothing, again.range, again.shown]).toEqual(["time", 0.25, [12.5, 60], [12.5, 60]]);
    expect(["loss", "lr", "grad_norm"].map((name) => again.isLog(name))).toEqual([true, true, false]);
    expect(again.isHidden("val/loss")).toBe(true);
    expect(again.isHidden("train/odd, 100%")).toBe(true);
    expect(again.isTable("top1")).toBe(true);
    again.toggle("hide", "train/odd, 100%");
    again.toggle("hide", "val/loss");
    expect(router.query.has("hide")).toBe(false);
    again.axis = "step";
    expect(again.range).toBeNull();
  });

  it("takes nonsense for nothing", () => {
    router.go("runs/r/curves?axis=moon&smoothing=7&range=9~3&log=&hide=%25");
    const view = new View(urlState, store());
    expect([view.axis, view.smoothing, view.range]).toEqual(["step", 0.8, null]);
  });

  it("counts time from the first point, and zooms around the crosshair", () => {
    router.go("runs/r/curves?axis=time");
    const view = new View(urlState, store());
    expect(view.origin).toBe(5000);
    expect(view.shown).toEqual([0, 200]);
    view.cross = 50;
    view.zoomBy(0.5);
    expect(view.range).toEqual([25, 125]);
    view.zoomBy(2);
    expect(view.range).toBeNull();
  });
});

describe("the address", () => {
  it("is written when a slider rests, at once for a step of the history, and goes back", async () => {
    startRouter();
    router.go("runs");
    urlState.set({ q: "a" });
    urlState.set({ q: "ab" });
    expect(urlState.get("q")).toBe("ab");
    expect(location.search).toBe("");
    urlState.set({ view: "deleted" }, { push: true });
    expect(location.search).toBe("?q=ab&view=deleted");
    history.back();
    await new Promise((resolve) => addEventListener("popstate", resolve, { once: true }));
    expect([urlState.get("q"), urlState.get("view")]).toEqual(["ab", null]);
    urlState.set({ q: null });
    expect(router.query.toString()).toBe("");
  });

  it("keeps odd names whole, and remembers how a view was left", () => {
    router.go(`runs/${encodeURIComponent("花 /?&")}/curves`);
    expect(router.parts[1]).toBe("花 /?&");
    router.go("runs/50%/curves");
    expect(router.parts).toEqual(["runs", "50%", "curves"]);
    router.go("runs/r/curves?axis=time");
    router.go("runs/r/details");
    expect(router.href("runs/r/curves", { keep: true })).toBe("/runs/r/curves?axis=time");
    expect(router.href("runs/r/curves")).toBe("/runs/r/curves");
  });

  it("is followed by a click on a link, but not by one that opens elsewhere", () => {
    router.go("runs");
    document.body.innerHTML = '<a id="in" href="/runs/x/curves?axis=epoch"><b>in</b></a><a id="api" href="/api/runs">x</a><a id="file" href="/runs/x" download>x</a>';
    const click = (selector: string, init: MouseEventInit = {}) => {
      const event = new MouseEvent("click", { bubbles: true, cancelable: true, button: 0, ...init });
      document.querySelector(selector)!.dispatchEvent(event);
      return event.defaultPrevented;
    };
    expect(click("#in b", { ctrlKey: true })).toBe(false);
    expect(click("#api")).toBe(false);
    expect(click("#file")).toBe(false);
    expect(router.path).toBe("runs");
    expect(click("#in b")).toBe(true);
    expect([router.path, urlState.get("axis")]).toEqual(["runs/x/curves", "epoch"]);
  });
});

const run = (id: string, values: Partial<RunSummary> = {}): RunSummary => ({
  id, name: id, status: "finished", source: "digits", model: "vit", created_at: "2026-01-01T00:00:00+00:00", updated_at: "", epochs: 1, step: 1, total_steps: 1,
  progress: 1, best_val_top1: null, test_top1: null, message: "", parent: null, ...values,
});

describe("the list of runs", () => {
  const rows = [run("c10", { best_val_top1: 0.5 }), run("b", { status: "running" }), run("c9", { best_val_top1: 0.9, source: "花卉" }), run("a", { status: "failed", best_val_top1: 0.1 })];
  const ids = (list: RunSummary[]) => list.map((r) => r.id);

  it("is sorted by every column, unknown values last either way, and numbers in names by size", () => {
    expect(ids(sorted(rows, { column: "best", isDescending: true }, "en"))).toEqual(["c9", "c10", "a", "b"]);
    expect(ids(sorted(rows, { column: "best", isDescending: false }, "en"))).toEqual(["a", "c10", "c9", "b"]);
    expect(ids(sorted(rows, { column: "name", isDescending: false }, "en"))).toEqual(["a", "b", "c9", "c10"]);
    expect(sorted(rows, { column: "status", isDescending: false }, "en")[0]!.id).toBe("b");
    for (const column of COLUMNS) expect(sorted(rows, { column, isDescending: true }, "en")).toHaveLength(4);
  });

  it("keeps its order in the address", () => {
    for (const column of COLUMNS) {
      for (const isDescending of [true, false]) expect(readOrder(writeOrder({ column, isDescending }) ?? "-age")).toEqual({ column, isDescending });
    }
    expect(readOrder(null)).toEqual(NEWEST_FIRST);
    expect(readOrder("nonsense")).toEqual(NEWEST_FIRST);
    expect(nextOrder({ column: "name", isDescending: false }, "name").isDescending).toBe(true);
    expect(nextOrder({ column: "name", isDescending: false }, "best").isDescending).toBe(true);
  });

  it("is filtered by every word, in any of its texts", () => {
    expect(ids(matching(rows, "  C 花卉 "))).toEqual(["c9"]);
    expect(matching(rows, "")).toBe(rows);
    expect(matching(rows, "nothing")).toEqual([]);
  });

  it("finds and orders 10,000 runs as one by one (fault 56)", () => {
    const many = Array.from({ length: 10_000 }, (_, i) =>
      run(`r${i}`, { name: `sweep ${(i * 7919) % 10_000}`, source: i % 3 ? "digits" : "photos/猫", best_val_top1: i % 7 ? ((i * 6007) % 9973) / 9973 : null }),
    );
    const found = ids(matching(many, "猫 SWEEP 12"));
    const expected: string[] = [];
    for (const { id, name, source } of many) {
      if (/12/.test(id + " " + name) && source.endsWith("猫")) expected.push(id);
    }
    expect(found).toEqual(expected);
    expect(found.length).toBeGreaterThan(50);
    const best = sorted(many, { column: "best", isDescending: true }, "en").map((r) => r.best_val_top1);
    const known = best.slice(0, best.indexOf(null));
    expect(known.length).toBe(many.filter((r) => r.best_val_top1 !== null).length);
    for (let i = 1; i < known.length; i++) expect(known[i - 1]! >= known[i]!).toBe(true);
    expect(new Set(ids(sorted(many, { column: "name", isDescending: false }, "en"))).size).toBe(10_000);
  });

  it("takes over changed, new and gone rows", () => {
    const next = merged(rows, [run("b", { step: 7 }), run("new", { created_at: "2026-02-01T00:00:00+00:00" })], ["a"]);
    expect(ids(next)).toEqual(["new", "c10", "b", "c9"]);
    expect(next[2]!.step).toBe(7);
  });

  it("holds only the rows near the screen, and its height never changes", () => {
    for (const scroll of [0, 100, 5000, 47_000, 90_000]) {
      const w = windowOf(1000, 48, 120, scroll, 800);
      expect(w.before + (w.last - w.first) * 48 + w.after).toBe(48_000);
      expect(w.last - w.first).toBeLessThan(40);
      for (let y = scroll; y < scroll + 800; y += 48) {
        const row = Math.floor((y - 120) / 48);
        if (row >= 0 && row < 1000) expect(row >= w.first && row < w.last).toBe(true);
      }
    }
    expect(windowOf(0, 48, 120, 0, 800)).toEqual({ first: 0, last: 0, before: 0, after: 0 });
  });
});
