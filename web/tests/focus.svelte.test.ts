import "./stubs";
import { flushSync, mount, tick, unmount } from "svelte";
import { afterEach, describe, expect, it, vi } from "vitest";
import { api, type RunSummary } from "../src/api";
import Help from "../src/frame/Help.svelte";
import { KEYS } from "../src/frame/keys";
import AllOptions from "../src/newrun/AllOptions.svelte";
import OptionField from "../src/newrun/OptionField.svelte";
import type { Field } from "../src/newrun/schema";
import Run from "../src/pages/Run.svelte";
import Runs from "../src/pages/Runs.svelte";
import Toasts from "../src/parts/Toasts.svelte";
import { router } from "../src/router.svelte";
import { runs } from "../src/runs/store.svelte";
import { toasts } from "../src/toasts.svelte";

vi.stubGlobal("EventSource", class extends EventTarget { close() {} });
HTMLDialogElement.prototype.showModal ??= function (this: HTMLDialogElement) {
  this.open = true;
};

const row = (values: Partial<RunSummary> = {}): RunSummary => ({
  id: "r", name: "first", status: "finished", source: "digits", model: "vit", created_at: "2026-01-01T00:00:00+00:00", updated_at: "", epochs: 5, step: 50, total_steps: 50,
  progress: 1, best_val_top1: 0.9, test_top1: 0.8, message: "", parent: null, ...values,
});
const field: Field = { path: "optim.lr", group: "optim", name: "lr", help: "", kind: "number", isNullable: false, default: 0.1, isByRecipe: false, choices: [], bounds: [], unit: "", flag: "" };
let shown: Record<string, unknown>[] = [];
const open = <P extends Record<string, unknown>>(component: unknown, props: P) => {
  shown.push(mount(component as never, { target: document.body, props: props as never }) as never);
  flushSync();
};
const settle = async () => {
  for (let i = 0; i < 5; i++) {
    await tick();
    flushSync();
  }
};
const button = (words: string) => [...document.querySelectorAll("button")].find((each) => (each.getAttribute("aria-label") ?? each.textContent)?.includes(words))!;
const use = async (words: string) => {
  button(words).focus();
  button(words).click();
  flushSync();
  await settle();
};

afterEach(() => {
  for (const each of shown) void unmount(each);
  shown = [];
  document.body.innerHTML = "";
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("the focus, where what had it goes", () => {
  it("is on the field whose value was taken away", async () => {
    const props = $state({ field, value: "3", problem: null, onchange: (value: string) => void (props.value = value) });
    open(OptionField, props);
    await use("Back to the default");
    expect(props.value).toBe("");
    expect(document.activeElement).toBe(document.querySelector("input"));
  });

  it("is on the options' heading after all of them were taken back", async () => {
    const values: Record<string, string> = $state({ "optim.lr": "3" });
    open(AllOptions, { fields: [field], values, problems: new Map(), refused: "", own: [], onchange: (path: string, value: string) => void (values[path] = value) });
    await use("Back to the defaults");
    expect(document.activeElement).toBe(document.querySelector("summary"));
  });

  it("is on the list's heading when the selection's bar goes", async () => {
    router.go("runs");
    runs.apply([row()], [], true);
    open(Runs, {});
    document.querySelector<HTMLInputElement>("td input")!.click();
    flushSync();
    await use("Clear");
    expect(document.activeElement).toBe(document.querySelector("h1"));
  });

  it("stays on the button that stops a run when that resumes it, and goes to the name when the run has finished", async () => {
    vi.spyOn(api, "run").mockReturnValue(new Promise(() => undefined));
    vi.spyOn(api, "series").mockReturnValue(new Promise(() => undefined));
    runs.apply([row({ status: "running", step: 10, progress: 0.2 })], [], true);
    open(Run, { id: "r", tab: "curves" });
    expect(document.querySelector("header [role=progressbar]")).not.toBeNull();
    const stop = button("Stop");
    stop.focus();
    runs.apply([row({ status: "interrupted", step: 10, progress: 0.2 })], []);
    await settle();
    expect(stop.textContent).toContain("Resume");
    expect(document.activeElement).toBe(stop);
    runs.apply([row()], []);
    await settle();
    expect(document.activeElement).toBe(document.querySelector("h1"));
    expect(document.querySelector("header")!.classList.contains("compact")).toBe(true);
    expect(document.querySelector("header [role=progressbar]")).toBeNull();
  });
});

describe("short messages", () => {
  it("stay while somebody is at them, and errors interrupt", async () => {
    vi.useFakeTimers();
    open(Toasts, {});
    toasts.show("deleted", { action: { label: "Undo", run: () => undefined } });
    toasts.show("refused", { kind: "bad" });
    flushSync();
    expect(document.querySelector('[role="alert"]')?.textContent).toContain("refused");
    expect(document.querySelector('[role="status"]')?.textContent).not.toContain("refused");
    button("Undo").focus();
    flushSync();
    vi.advanceTimersByTime(60_000);
    flushSync();
    expect(toasts.shown).toHaveLength(2);
    button("Undo").blur();
    flushSync();
    vi.advanceTimersByTime(9000);
    expect(toasts.shown).toHaveLength(0);
  });
});

describe("the list of keys", () => {
  it("has those of charts and of Inside", () => {
    open(Help, { onclose: () => undefined });
    expect(KEYS.map((group) => group.where)).toContain("ofInside");
    expect(document.body.textContent).toContain("Time line: to the moment before and after");
    expect([...document.querySelectorAll("kbd")].map((kbd) => kbd.textContent)).toContain("Esc");
  });
});
