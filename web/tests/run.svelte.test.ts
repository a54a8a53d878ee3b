import "./stubs";
import { flushSync, mount, tick, unmount } from "svelte";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

vi.mock("uplot", () => import("./uplot"));

import { api, ApiError, type RunDetail, type RunSummary } from "../src/api";
import { draft } from "../src/newrun/draft.svelte";
import Run from "../src/pages/Run.svelte";
import Runs from "../src/pages/Runs.svelte";
import { router } from "../src/router.svelte";
import { resumeRun } from "../src/runs/actions";
import { neverBegan, toldBy } from "../src/runs/ending";
import { runs } from "../src/runs/store.svelte";
import { session } from "../src/session.svelte";
import { toasts } from "../src/toasts.svelte";

vi.stubGlobal("EventSource", class extends EventTarget { close() {} });

const row = (values: Partial<RunSummary> = {}): RunSummary => ({
  id: "r", name: "first", status: "failed", source: "digits", model: "vit", created_at: "2026-01-01T00:00:00+00:00", updated_at: "2026-01-01T00:00:00+00:00", epochs: 5, step: 0, total_steps: null,
  progress: null, best_val_top1: null, test_top1: null, message: "", parent: null, started_at: null, is_job: true, ...values,
});
const detail = (of: RunSummary): RunDetail => ({
  ...of, folder: "/w/r", resume: null, attempts: [], metrics: [], checkpoints: [], files: [], notices: [], config: null,
  requested: { data: { source: "/photos" }, recipe: "digits", model: { image_size: 31, pretrained: true }, augment: { crop_scale: [0.3, 1] } },
});
const empty = "No pictures in '/photos': it is empty.";
let shown: Record<string, unknown>[] = [];

async function open(run: RunSummary, tab: "curves" | "inside" | "details") {
  router.go(`runs/${run.id}/${tab}`);
  runs.apply([run], [], true);
  vi.spyOn(api, "run").mockImplementation(() => Promise.resolve(detail(runs.find(run.id) ?? run)));
  vi.spyOn(api, "series").mockResolvedValue({ cursor: "1", axis: "step", series: {}, attempts: [], notices: [] });
  vi.spyOn(api, "log").mockResolvedValue({ text: "from a terminal", status: run.status });
  shown.push(mount(Run, { target: document.body, props: { id: run.id, tab } }) as never);
  await settle();
}
async function settle() {
  for (let i = 0; i < 12; i++) {
    await tick();
    flushSync();
    await new Promise((resolve) => setTimeout(resolve));
  }
}
const text = () => document.body.textContent ?? "";
const button = (words: string) => [...document.querySelectorAll("button")].find((each) => (each.getAttribute("aria-label") ?? each.textContent)?.trim() === words);

beforeEach(() => vi.spyOn(api, "session").mockResolvedValue({ version: "1", read_only: false, workspace: "/w s", command: "vitscope --workspace '/w s'", host_cores: 1 }));
afterEach(() => {
  for (const each of shown) void unmount(each);
  shown = [];
  document.body.innerHTML = "";
  vi.restoreAllMocks();
});

describe("a run that failed before it began", () => {
  it("says so on the curves, with the reason, and offers the form instead of going on", async () => {
    await open(row({ message: empty }), "curves");
    expect(text()).toContain("It failed before the first step");
    expect(text().split(empty)).toHaveLength(3); // in the head and in the place of the curves
    expect(text()).not.toContain("The first numbers come");
    expect(button("Resume")).toBeUndefined();
    button("Change and start again")!.click();
    flushSync();
    expect(router.path).toBe("new");
    expect(draft).toEqual({ source: "/photos", recipe: "digits", name: "", values: { "model.image_size": "31", "model.pretrained": "true", "augment.crop_scale": "0.3, 1" } });
  });

  it("says so among the notices", async () => {
    await open(row({ message: empty }), "details");
    expect(text()).not.toContain("No warnings and no errors");
    expect([...document.querySelectorAll(".notice.error")].map((each) => each.textContent)).toEqual([expect.stringContaining(empty)]);
    expect(document.querySelector("pre")!.textContent).toBe("from a terminal");
  });

  it("says so inside", async () => {
    vi.stubGlobal("fetch", () => Promise.resolve(new Response(JSON.stringify({ error: "no weights" }), { status: 409 })));
    await open(row({ message: empty }), "inside");
    await vi.waitFor(() => {
      flushSync();
      expect(text()).toContain("failed before it had written any");
    }, 15_000);
    expect(text()).not.toContain("soon");
    vi.unstubAllGlobals();
    vi.stubGlobal("EventSource", class extends EventTarget { close() {} });
  }, 20_000);

  it("is told from one whose process was killed, or that had begun", () => {
    expect(neverBegan(row({ message: empty }))).toBe(true);
    expect(neverBegan(row({ message: "Its process was killed (SIGKILL)." }))).toBe(false);
    expect(neverBegan(row({ message: empty, started_at: "2026-01-01T00:00:00+00:00" }))).toBe(false);
  });
});

describe("the message of a run", () => {
  const killed = "Its process was killed (SIGKILL). The end of its log: epoch 1 | epoch 2";
  it("is a sentence, and the log's end folded", async () => {
    expect(toldBy(killed)).toEqual({ sentence: "Its process was killed (SIGKILL).", log: ["epoch 1", "epoch 2"] });
    await open(row({ message: killed, step: 3 }), "curves");
    const message = document.querySelector("header .message")!;
    expect(message.querySelector("p")!.textContent).toBe("Its process was killed (SIGKILL).");
    expect(message.querySelector("details")!.open).toBe(false);
    expect(message.querySelector("pre")!.textContent).toBe("epoch 1\nepoch 2");
  });
});

describe("resuming", () => {
  it("shows at once that it starts, and no message of before", async () => {
    await open(row({ status: "interrupted", step: 3, message: "It was stopped." }), "curves");
    vi.spyOn(api, "resume").mockResolvedValue({});
    button("Resume")!.click();
    await settle();
    expect(document.querySelector("h1 ~ .status")!.textContent).toBe("starting");
    expect(button("Resume")).toBeUndefined();
    expect(button("Stop")).toBeDefined();
    expect(text()).not.toContain("It was stopped.");
  });

  it("is no error where another window was quicker", async () => {
    vi.spyOn(api, "resume").mockRejectedValue(new ApiError(409, "It has been given to a process already."));
    vi.spyOn(api, "run").mockResolvedValue(detail(row({ status: "created" })));
    expect(await resumeRun(row({ status: "interrupted" }))).toBe(true);
    expect(toasts.shown.filter(({ kind }) => kind === "bad")).toEqual([]);
  });
});

describe("a run in the trash", () => {
  it("is told to be there, and can be brought back", async () => {
    await session.load();
    router.go("runs/r/curves");
    runs.apply([], ["r"]);
    let isThere = false;
    vi.spyOn(api, "run").mockImplementation(() => (isThere ? Promise.resolve(detail(row({ status: "finished" }))) : Promise.reject(new ApiError(404, "Run first (r) is in the trash."))));
    vi.spyOn(api, "runs").mockResolvedValue({ runs: [row({ status: "finished", deleted_at: "2026-01-02T00:00:00+00:00" })], cursor: "1" });
    vi.spyOn(api, "series").mockResolvedValue({ cursor: "1", axis: "step", series: {}, attempts: [], notices: [] });
    const restored = vi.spyOn(api, "restore").mockImplementation(() => {
      isThere = true;
      return Promise.resolve({});
    });
    shown.push(mount(Run, { target: document.body, props: { id: "r", tab: "curves" } }) as never);
    await settle();
    expect(document.querySelector("h1")!.textContent).toBe("“first” is deleted");
    expect(text()).not.toContain("no such run");
    expect(text()).toContain("vitscope --workspace '/w s' runs restore r");
    button("Restore")!.click();
    await settle();
    expect(restored).toHaveBeenCalledWith("r");
    expect(document.querySelector("h1")!.textContent).toBe("first");
  });
});

describe("commands that are shown", () => {
  it("work on this workspace", async () => {
    await session.load();
    router.go("runs");
    runs.apply([], [], true);
    shown.push(mount(Runs, { target: document.body }) as never);
    flushSync();
    expect(document.querySelector("code")!.textContent).toBe("vitscope --workspace '/w s' train digits --recipe digits");
    runs.apply([row({ id: "a" }), row({ id: "b" })], [], true);
    flushSync();
    for (const box of document.querySelectorAll<HTMLInputElement>("td input")) box.click();
    flushSync();
    expect(button("Open curves")!.title).toContain("vitscope --workspace '/w s' plot a b");
  });
});
