/** The curves of one run: its history, loaded once, what is told since, and a finer look at the range that is zoomed to. */
import { api, ApiError, type Notice, type SeriesAnswer, type WireSeries } from "../api";
import { append, compact, fromWire, isExact, merge, truncate, within, without, type Axis, type Series } from "./series";

const POINTS = 1000;
const MOST = 4000; // points a curve: beyond, the older ones are put together

export interface Range {
  axis: Axis;
  from: number;
  to: number;
}

export class RunSeries {
  /** Counts changes: what draws watches it. */
  version = $state(0);
  isLoaded = $state(false);
  error = $state.raw<ApiError | null>(null);
  attempts = $state.raw<{ attempt: number; from_step: number }[]>([]);
  notices = $state.raw<Notice[]>([]);
  private readonly history = new Map<string, Series>();
  private detail: { range: Range; series: Map<string, Series> } | null = null;
  private asking: AbortController | null = null;

  constructor(readonly run: string) {}

  get keys(): string[] {
    void this.version;
    return [...this.history.keys()];
  }

  /** A curve as it is drawn: finer within the range that was zoomed to. */
  get(key: string): Series | undefined {
    const whole = this.history.get(key);
    const fine = this.detail?.series.get(key);
    if (!whole || !fine || !this.detail) return whole;
    const { axis, from, to } = this.detail.range;
    return merge(whole, fine, axis, from, to);
  }

  /** Where the curves begin and end on an axis; null without any point. Unix seconds for time. */
  extent(axis: Axis): [number, number] | null {
    void this.version;
    let low = Infinity;
    let high = -Infinity;
    for (const series of this.history.values()) {
      const xs = series[axis];
      if (!xs.length) continue;
      low = Math.min(low, xs[0]!);
      high = Math.max(high, xs.at(-1)!);
    }
    return low <= high ? [low, high] : null;
  }

  /** Loads the history. Gives the cursor from which the stream goes on, null where it failed. */
  async load(signal?: AbortSignal): Promise<string | null> {
    try {
      const answer = await api.series(this.run, { points: POINTS }, signal);
      this.take(answer);
      return answer.cursor;
    } catch (error) {
      if (error instanceof ApiError) this.error = error;
      else if (!signal?.aborted) throw error;
      return null;
    }
  }

  private take(answer: SeriesAnswer): void {
    this.history.clear();
    for (const [key, wire] of Object.entries(answer.series)) this.history.set(key, fromWire(key, wire));
    this.attempts = answer.attempts;
    this.notices = answer.notices;
    this.detail = null;
    this.error = null;
    this.isLoaded = true;
    this.version++;
  }

  /** Points that were recorded after all that is known. */
  add(points: Record<string, WireSeries>): void {
    for (const [key, wire] of Object.entries(points)) {
      const more = fromWire(key, wire);
      const left = (series: Series) => (wire.replaces?.length ? without(series, wire.replaces) : series);
      const whole = this.history.get(key);
      this.history.set(key, whole ? compact(append(left(whole), more), MOST) : more);
      const fine = this.detail?.series.get(key);
      if (!fine || !this.detail) continue;
      const { axis, from, to } = this.detail.range;
      this.detail.series.set(key, append(left(fine), within(more, axis, from, to)));
    }
    this.version++;
  }

  /** A new attempt goes on from a step: what was recorded after it is no longer part of the run. */
  resumed(attempt: number, fromStep: number): void {
    for (const all of [this.history, this.detail?.series ?? new Map<string, Series>()]) {
      for (const [key, series] of all) all.set(key, truncate(series, fromStep));
    }
    if (!this.attempts.some((known) => known.attempt === attempt)) this.attempts = [...this.attempts, { attempt, from_step: fromStep }];
    this.version++;
  }

  notice(more: Notice[]): void {
    const known = new Set(this.notices.map((n) => `${n.time} ${n.text}`));
    this.notices = [...this.notices, ...more.filter((n) => !known.has(`${n.time} ${n.text}`))];
  }

  /** Look closer at a range, where the history left points out. Null: the whole again. */
  async zoom(range: Range | null): Promise<void> {
    this.asking?.abort();
    this.asking = null;
    if (!range) {
      if (this.detail) {
        this.detail = null;
        this.version++;
      }
      return;
    }
    const coarse = [...this.history.values()].filter((series) => !isExact(series)).map((series) => series.key);
    if (!coarse.length) return;
    const mine = new AbortController();
    this.asking = mine;
    const { axis, from, to } = range;
    try {
      const answer = await api.series(this.run, { points: POINTS, axis, from, to, names: coarse }, mine.signal);
      if (mine.signal.aborted) return;
      const series = new Map(Object.entries(answer.series).map(([key, wire]) => [key, fromWire(key, wire)]));
      this.detail = { range, series };
      this.version++;
    } catch (error) {
      if (!mine.signal.aborted && !(error instanceof ApiError)) throw error; // the coarse curve stays
    }
  }

  stop(): void {
    this.asking?.abort();
  }
}
