/**
 * What happens now, as the server tells it: one event stream for the whole page, since browsers allow six connections
 * to a host. It ends while the page is hidden and goes on from the last cursor when it is seen again; after an error
 * it is opened anew, at growing intervals, from the same cursor. So nothing is told twice and history is not asked again.
 */
import type { Notice, RunSummary, WireSeries } from "./api";
import { backoff } from "./backoff";

export interface LiveEvents {
  /** `all`: there are no runs but these. */
  runs: { runs: RunSummary[]; gone: string[]; all?: boolean };
  points: { series: Record<string, WireSeries> };
  attempt: { attempt: number; from_step: number };
  notices: { notices: Notice[] };
  moment: { step: number };
}
export type LiveName = keyof LiveEvents;

/** What is asked for: all runs (`run` null) or one run in full, from `since` on. */
export interface Subject {
  run: string | null;
  since: string | null;
}

/** What is used of an EventSource, and of the page. Tests put others in their place. */
export interface Surroundings {
  open(subject: Subject): EventSource;
  isHidden(): boolean;
  now(): number;
  later(run: () => void, ms: number): unknown;
  cancel(timer: unknown): void;
  /** The stream broke: find out whether the server is there. */
  broke?(): void;
}

const NAMES: LiveName[] = ["runs", "points", "attempt", "notices", "moment"];
const STABLE_MS = 5000; // a stream that held so long was a good one: the next break begins with a short wait

export class Live {
  private subject: Subject | null = null;
  private source: EventSource | null = null;
  private timer: unknown = null;
  private failures = 0;
  private openedAt = 0;
  private readonly listeners = new Map<LiveName, Set<(data: never) => void>>();

  constructor(private readonly around: Surroundings) {}

  /** The cursor of the last event, from which the stream would go on. */
  get cursor(): string | null {
    return this.subject?.since ?? null;
  }

  get isOpen(): boolean {
    return this.source !== null;
  }

  /** Follow another subject; null ends the stream. */
  follow(subject: Subject | null): void {
    this.close();
    this.subject = subject && { ...subject };
    this.failures = 0;
    this.connect();
  }

  on<N extends LiveName>(name: N, listener: (data: LiveEvents[N]) => void): () => void {
    const all = this.listeners.get(name) ?? new Set();
    this.listeners.set(name, all);
    all.add(listener as (data: never) => void);
    return () => all.delete(listener as (data: never) => void);
  }

  /** Tell that the page was hidden or is seen again, or that the network came back. */
  visibilityChanged(): void {
    if (this.around.isHidden()) this.close();
    else if (!this.source) {
      this.failures = 0;
      this.connect();
    }
  }

  /** Ends the stream, to go on from its cursor when the page is seen again. */
  rest(): void {
    this.close();
  }

  private close(): void {
    this.source?.close();
    this.source = null;
    if (this.timer !== null) this.around.cancel(this.timer);
    this.timer = null;
  }

  private connect(): void {
    this.close();
    if (!this.subject || this.around.isHidden()) return;
    const source = this.around.open(this.subject);
    this.source = source;
    this.openedAt = this.around.now();
    for (const name of NAMES) source.addEventListener(name, (event) => this.received(source, name, event as MessageEvent<string>));
    source.addEventListener("bye", () => this.broken(source)); // the server stops: come back when it is there again
    source.onerror = () => this.broken(source);
  }

  private received(source: EventSource, name: LiveName, event: MessageEvent<string>): void {
    if (source !== this.source || !this.subject) return; // a late event of a stream that was left
    if (event.lastEventId) this.subject.since = event.lastEventId;
    const data = JSON.parse(event.data) as never;
    for (const listener of this.listeners.get(name) ?? []) listener(data);
  }

  private broken(source: EventSource): void {
    if (source !== this.source) return;
    if (this.around.now() - this.openedAt > STABLE_MS) this.failures = 0;
    this.close();
    this.timer = this.around.later(() => this.connect(), backoff(this.failures++));
    this.around.broke?.();
  }
}
