import "./stubs";
import { flushSync, mount, unmount } from "svelte";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { api, ApiError, type RunDetail } from "../src/api";
import { language } from "../src/i18n/language.svelte";
import Details from "../src/pages/Details.svelte";
import { Resource, resource } from "../src/resource.svelte";

const run = (step: number) =>
  ({
    id: "r", name: "r", status: "running", is_job: true, step, folder: "/w/r", resume: null, config: {}, requested: {}, checkpoints: [], attempts: [],
    files: [{ path: "config.yaml", size_bytes: 10 }], metrics: [], notices: [
      { time: 0, step: 0, level: "warning", text: "No test set.", alert: null },
      { time: 1, step: 40, level: "warning", text: "Each step waits for data.", alert: "starving-loader" },
      { time: 2, step: 50, level: "warning", text: "Something new.", alert: "of-a-later-version" },
    ],
  }) as unknown as RunDetail;

let shown: Record<string, unknown> | null = null;
let asked: ReturnType<typeof vi.spyOn>;
let text = "one";

async function open(values: Partial<RunDetail> = {}) {
  const detail = new Resource(() => Promise.resolve(run(0)));
  await detail.refresh();
  const props = $state({ run: { ...run(0), ...values }, detail });
  shown = mount(Details, { target: document.body, props }) as Record<string, unknown>;
  await settle();
  return props;
}
async function settle() {
  for (let i = 0; i < 4; i++) {
    await Promise.resolve();
    flushSync();
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  asked = vi.spyOn(api, "log").mockImplementation(() => Promise.resolve({ text, status: "running" }));
});
afterEach(() => {
  if (shown) void unmount(shown);
  shown = null;
  document.body.innerHTML = "";
  vi.useRealTimers();
  vi.restoreAllMocks();
  language.set("en");
});

describe("the details", () => {
  it("ask for the log now and then, and not at each step of the run", async () => {
    const props = await open();
    for (let step = 1; step <= 10; step++) {
      props.run = run(step);
      await settle();
    }
    expect(asked).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(3100);
    expect(asked).toHaveBeenCalledTimes(2);
    props.run = { ...run(11), status: "finished" };
    await settle();
    expect(asked).toHaveBeenCalledTimes(3);
  });

  it("keep the end of the log in sight, unless the reader is elsewhere in it", async () => {
    await open();
    const log = document.querySelector("pre")!;
    let height = 1000;
    Object.defineProperties(log, { scrollHeight: { get: () => height }, clientHeight: { get: () => 300 } });
    const grow = async () => {
      height += 500;
      text += " more";
      vi.advanceTimersByTime(3100);
      await settle();
    };
    const scrollTo = (top: number) => {
      log.scrollTop = top;
      log.dispatchEvent(new Event("scroll"));
    };
    scrollTo(700);
    await grow(); // by more than what counts as near the end
    expect(log.scrollTop).toBe(1500);
    scrollTo(0);
    await grow();
    expect(log.scrollTop).toBe(0);
    scrollTo(400);
    await grow();
    expect(log.scrollTop).toBe(400);
    scrollTo(height - 300);
    await grow();
    expect(log.scrollTop).toBe(height);
  });

  it("show the log of a run that was started elsewhere, and say so where there is none", async () => {
    await open({ is_job: false });
    expect(document.querySelector("pre")!.textContent).toBe(text);
    asked.mockRejectedValue(new ApiError(404, "It has no log."));
    vi.advanceTimersByTime(3100);
    await settle();
    expect(document.body.textContent).toContain("It has not written a log yet.");
  });

  it("name an alert by its kind, and one they do not know by its level", async () => {
    await open();
    const heads = () => [...document.querySelectorAll(".notice .when")].map((e) => e.textContent!.split(" · ")[0]);
    expect(heads()).toEqual(["warning", "Waiting for data", "warning"]);
    language.set("zh");
    flushSync();
    expect(heads()).toEqual(["警告", "等待数据", "警告"]);
  });

  it("tell steps and counts as the language does", async () => {
    await open();
    expect(document.body.textContent).toContain("· step 0");
    expect(document.body.textContent).toContain("1 file");
    expect(document.body.textContent).not.toContain("1 files");
    language.set("zh");
    flushSync();
    expect(document.body.textContent).toContain("第 0 步");
    expect(document.body.textContent).not.toMatch(/步 \d/);
  });
});

describe("a resource", () => {
  it("loads again when its key has another value, whatever else that is made of and is read", async () => {
    let key = $state({ id: 1 });
    let other = $state(0);
    let loads = 0;
    const end = $effect.root(() => {
      resource(
        () => {
          void other;
          return Promise.resolve(loads++);
        },
        () => key.id,
      );
    });
    flushSync();
    key = { id: 1 };
    other = 1;
    flushSync();
    expect(loads).toBe(1);
    key = { id: 2 };
    flushSync();
    expect(loads).toBe(2);
    end();
  });
});
