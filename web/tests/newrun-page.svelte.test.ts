import "./stubs";
import { flushSync, mount, tick, unmount } from "svelte";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { api, ApiError, type Session } from "../src/api";
import { draft } from "../src/newrun/draft.svelte";
import NewRun from "../src/pages/NewRun.svelte";
import Button from "../src/parts/Button.svelte";
import { router, urlState } from "../src/router.svelte";
import { session } from "../src/session.svelte";

const here = (values: Partial<Session> = {}): Session => ({ version: "1", read_only: false, workspace: "/w", command: "vitscope --workspace /w", host_cores: 1, ...values });
let shown: Record<string, unknown>[] = [];

async function open(address = "new", is: Partial<Session> = {}) {
  vi.spyOn(api, "session").mockResolvedValue(here(is));
  await session.load();
  router.go(address);
  shown.push(mount(NewRun, { target: document.body }) as never);
  await settle();
}
async function settle() {
  for (let i = 0; i < 6; i++) {
    await tick();
    flushSync();
    await Promise.resolve();
  }
}
const field = (id: string) => document.querySelector<HTMLInputElement>(`#${id}`)!;
const type = async (id: string, value: string) => {
  field(id).value = value;
  field(id).dispatchEvent(new Event("input", { bubbles: true }));
  await settle();
};
const send = async () => {
  document.querySelector("form")!.dispatchEvent(new SubmitEvent("submit", { bubbles: true, cancelable: true }));
  await settle();
};

beforeEach(() => {
  Object.assign(draft, { source: "", recipe: "", name: "", values: {} });
  vi.spyOn(api, "options").mockResolvedValue({ schema: { properties: { seed: { default: 0, type: "integer" } } }, recipes: [], sources: [] });
  vi.spyOn(api, "models").mockImplementation(() => new Promise(() => undefined)); // the clerk is not there yet
});
afterEach(() => {
  for (const each of shown) void unmount(each);
  shown = [];
  document.body.innerHTML = "";
  vi.restoreAllMocks();
});

describe("the form", () => {
  it("is there before the models are known", async () => {
    await open();
    expect(document.body.textContent).toContain("seed");
    field("model").click();
    flushSync();
    expect(document.querySelector("#model-list")!.textContent).toContain("Loading");
  });

  it("shows what the server refused until something is changed", async () => {
    await open("new?source=digits");
    vi.spyOn(api, "start").mockRejectedValue(new ApiError(422, "There is no model 'resnet18'."));
    await send();
    expect(document.querySelector('[role="alert"]')!.textContent).toContain("resnet18");
    await type("model", "vit_tiny");
    expect(document.querySelector('[role="alert"]')).toBeNull();
  });

  it("keeps what was filled in over a reload, also where a link had filled it in first", async () => {
    await open("new?source=digits");
    expect([urlState.get("source"), draft.source]).toEqual([null, "digits"]);
    await type("source", "/photos");
    await type("model", "vit_small");
    vi.resetModules();
    const { draft: again } = await import("../src/newrun/draft.svelte");
    expect(again).toMatchObject({ source: "/photos", values: { "model.name": "vit_small" } });
  });

  it("shows the command for this workspace", async () => {
    await open("new?source=digits");
    expect(document.querySelector("code")!.textContent).toBe("vitscope --workspace /w train digits");
  });

  it("cannot be filled in where nothing may be started, and says why once", async () => {
    await open("new", { read_only: true });
    expect(document.querySelector("fieldset")!.disabled).toBe(true);
    expect(field("source").matches(":disabled")).toBe(true);
    expect(document.body.textContent!.split("--read-only")).toHaveLength(2);
  });
});

describe("a button that cannot be used", () => {
  it("has its reason as its description, not in its name", () => {
    shown.push(mount(Button, { target: document.body, props: { icon: "trash", label: "Delete", reason: "It only shows." } }) as never);
    flushSync();
    const button = document.querySelector("button")!;
    expect([button.getAttribute("aria-label"), button.textContent!.trim(), button.title]).toEqual(["Delete", "", "It only shows."]);
  });
});
