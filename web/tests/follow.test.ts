import "./stubs";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { api } from "../src/api";

let streams: { url: string; isClosed: boolean }[] = [];
vi.stubGlobal(
  "EventSource",
  class extends EventTarget {
    onerror = null;
    isClosed = false;
    constructor(readonly url: string) {
      super();
      streams.push(this);
    }
    close() {
      this.isClosed = true;
    }
  },
);

const { live, startStream } = await import("../src/stream");
const { followRuns } = await import("../src/runs/store.svelte");
startStream();

const subjects = () => streams.map((stream) => stream.url.replace(/^.*\?/, ""));

beforeEach(() => {
  live.follow(null);
  streams = [];
});

describe("what the page follows", () => {
  it("is the run that was opened, though the list answers later", async () => {
    let answer: (value: { runs: never[]; cursor: string }) => void = () => undefined;
    vi.spyOn(api, "runs").mockReturnValueOnce(new Promise((resolve) => (answer = resolve)));
    const leave = followRuns();
    leave(); // the page of a run is opened
    live.follow({ run: "r", since: "7" });
    answer({ runs: [], cursor: "9" });
    await new Promise((later) => setTimeout(later));
    expect(subjects()).toEqual(["run=r&since=7"]);
  });

  it("is the list, from where it ends", async () => {
    vi.spyOn(api, "runs").mockResolvedValueOnce({ runs: [], cursor: "9" });
    followRuns();
    await new Promise((later) => setTimeout(later));
    expect(subjects()).toEqual(["since=9"]);
  });

  it("is followed again when the back button brings the page back", () => {
    live.follow({ run: "r", since: "7" });
    dispatchEvent(new Event("pagehide"));
    expect(streams[0]!.isClosed).toBe(true);
    dispatchEvent(new Event("pageshow"));
    expect(subjects()).toEqual(["run=r&since=7", "run=r&since=7"]);
    expect(streams[1]!.isClosed).toBe(false);
    dispatchEvent(new Event("pageshow"));
    expect(streams).toHaveLength(2);
  });
});
