import { beforeEach, describe, expect, it } from "vitest";
import { backoff } from "../src/backoff";
import { Live, type LiveName, type Subject, type Surroundings } from "../src/live";

/** What a test has in place of an EventSource. */
class Stream extends EventTarget {
  onerror: (() => void) | null = null;
  isClosed = false;
  constructor(readonly subject: Subject) {
    super();
  }
  close() {
    this.isClosed = true;
  }
  tell(name: LiveName | "bye", data: unknown, id = "") {
    this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data), lastEventId: id }));
  }
}

let streams: Stream[];
let timers: { run: () => void; ms: number; isCancelled: boolean }[];
let isHidden: boolean;
let now: number;
let probes: number;
let live: Live;

const newest = () => streams.at(-1)!;

beforeEach(() => {
  streams = [];
  timers = [];
  isHidden = false;
  now = 0;
  probes = 0;
  const around: Surroundings = {
    open(subject) {
      const stream = new Stream({ ...subject });
      streams.push(stream);
      return stream as unknown as EventSource;
    },
    isHidden: () => isHidden,
    now: () => now,
    later(run, ms) {
      const timer = { run, ms, isCancelled: false };
      timers.push(timer);
      return timer;
    },
    cancel: (timer) => ((timer as (typeof timers)[number]).isCancelled = true),
    broke: () => probes++,
  };
  live = new Live(around);
});

describe("the live stream", () => {
  it("gives each event to those who listen for it, typed by its name", () => {
    const heard: unknown[] = [];
    const off = live.on("moment", ({ step }) => heard.push(step));
    live.follow({ run: "a", since: "5" });
    newest().tell("moment", { step: 40 }, "6");
    newest().tell("notices", { notices: [] }, "7");
    off();
    newest().tell("moment", { step: 80 }, "8");
    expect(heard).toEqual([40]);
    expect(live.cursor).toBe("8");
  });

  it("goes on from the last cursor after an error, waiting longer each time", () => {
    live.follow({ run: null, since: "1" });
    newest().tell("runs", { runs: [], gone: [] }, "9");
    for (let i = 0; i < 8; i++) {
      newest().onerror?.();
      expect(newest().isClosed).toBe(true);
      timers.at(-1)!.run();
      expect(newest().subject).toEqual({ run: null, since: "9" });
    }
    const waits = timers.map((t) => t.ms);
    expect(waits[3]!).toBeGreaterThan(waits[0]!);
    expect(Math.max(...waits)).toBeLessThanOrEqual(15_000 * 1.25);
    expect(probes).toBe(8);
  });

  it("waits shortly again after a stream that held", () => {
    live.follow({ run: null, since: null });
    for (let i = 0; i < 6; i++) {
      newest().onerror?.();
      timers.at(-1)!.run();
    }
    now += 60_000;
    newest().onerror?.();
    expect(timers.at(-1)!.ms).toBeLessThan(1000);
  });

  it("comes back when the server stops", () => {
    live.follow({ run: null, since: "3" });
    newest().tell("bye", {});
    expect(live.isOpen).toBe(false);
    timers.at(-1)!.run();
    expect(live.isOpen).toBe(true);
  });

  it("is closed while the page is hidden, and resumes where it was", () => {
    live.follow({ run: "a", since: "1" });
    newest().tell("moment", { step: 1 }, "2");
    isHidden = true;
    live.visibilityChanged();
    expect(newest().isClosed).toBe(true);
    expect(live.isOpen).toBe(false);
    isHidden = false;
    live.visibilityChanged();
    expect(streams).toHaveLength(2);
    expect(newest().subject).toEqual({ run: "a", since: "2" });
    live.visibilityChanged();
    expect(streams).toHaveLength(2);
  });

  it("does not open while hidden, nor try again", () => {
    isHidden = true;
    live.follow({ run: "a", since: "1" });
    expect(streams).toHaveLength(0);
    isHidden = false;
    live.visibilityChanged();
    newest().onerror?.();
    isHidden = true;
    live.visibilityChanged();
    expect(timers.at(-1)!.isCancelled).toBe(true);
  });

  it("hears nothing more of a subject that was left", () => {
    const heard: number[] = [];
    live.on("moment", ({ step }) => heard.push(step));
    live.follow({ run: "a", since: "1" });
    const left = newest();
    live.follow({ run: "b", since: "10" });
    left.tell("moment", { step: 1 }, "2");
    left.onerror?.();
    expect(left.isClosed).toBe(true);
    expect(heard).toEqual([]);
    expect(live.cursor).toBe("10");
    expect(timers).toHaveLength(0);
    live.follow(null);
    expect(newest().isClosed).toBe(true);
  });
});

describe("back-off", () => {
  it("doubles from half a second to a quarter of a minute, spread by a quarter to both sides", () => {
    expect([0, 1, 2, 3].map((n) => backoff(n, () => 0.5))).toEqual([500, 1000, 2000, 4000]);
    expect(backoff(50, () => 0.5)).toBe(15_000);
    expect(backoff(0, () => 0)).toBe(375);
    expect(backoff(0, () => 1)).toBe(625);
  });
});
