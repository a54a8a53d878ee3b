import "./stubs";
import { flushSync, mount, unmount } from "svelte";
import { afterEach, describe, expect, it } from "vitest";
import Rail from "../src/frame/Rail.svelte";
import Running from "../src/frame/Running.svelte";
import { router, startRouter, urlState } from "../src/router.svelte";
import { runs } from "../src/runs/store.svelte";
import type { RunSummary } from "../src/api";

startRouter();
let shown: Record<string, unknown> | null = null;
afterEach(() => {
  if (shown) void unmount(shown);
  shown = null;
});

const link = (name: string) => [...document.querySelectorAll("a")].find((each) => each.textContent?.includes(name))!;
const back = async () => {
  history.back();
  await new Promise((resolve) => addEventListener("popstate", resolve, { once: true }));
};

describe("a link", () => {
  it("to the list leads to it as it was left, however late that was", () => {
    router.go("runs");
    shown = mount(Rail, { target: document.body, props: { onhelp: () => undefined } });
    flushSync();
    urlState.set({ q: "abc", status: "failed" });
    flushSync();
    router.go("new");
    flushSync();
    link("Runs").click();
    expect([router.path, urlState.get("q"), urlState.get("status")]).toEqual(["runs", "abc", "failed"]);
  });

  it("to what runs leads to the axis that was chosen there", () => {
    runs.apply([{ id: "r", name: "moving", status: "running", progress: 0.5 } as RunSummary], []);
    router.go("runs/r/curves");
    shown = mount(Running, { target: document.body });
    flushSync();
    urlState.set({ axis: "time" });
    flushSync();
    router.go("runs");
    flushSync();
    link("moving").click();
    expect([router.path, urlState.get("axis")]).toEqual(["runs/r/curves", "time"]);
  });
});

describe("the back button", () => {
  it("leads to the path that was left, with its query", async () => {
    router.go("runs?q=abc");
    router.go("runs/r/curves?axis=epoch");
    router.go("runs/r/details");
    await back();
    expect([router.path, router.query.toString(), location.pathname + location.search]).toEqual(["runs/r/curves", "axis=epoch", "/runs/r/curves?axis=epoch"]);
    await back();
    expect([router.path, urlState.get("q")]).toEqual(["runs", "abc"]);
  });
});
