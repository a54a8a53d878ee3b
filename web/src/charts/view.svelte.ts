/** How the curves are looked at: axis, range, smoothing, what is hidden. All of it is in the address; the crosshair is not. */
import { decoded } from "../router.svelte";
import type { UrlState } from "../state";
import type { Axis } from "./series";
import type { RunSeries } from "./store.svelte";

const AXES: Axis[] = ["step", "epoch", "time"];
export const SMOOTHING = 0.8;

export class View {
  /** Where the crosshair is, in the axis's unit; null: nowhere. */
  cross = $state<number | null>(null);

  constructor(
    private readonly url: UrlState,
    private readonly store: RunSeries,
  ) {}

  get axis(): Axis {
    return AXES.find((axis) => axis === this.url.get("axis")) ?? "step";
  }

  set axis(axis: Axis) {
    this.cross = null;
    this.url.set({ axis: axis === "step" ? null : axis, range: null });
  }

  get smoothing(): number {
    const text = this.url.get("smoothing");
    const value = text === null ? SMOOTHING : Number(text);
    return value >= 0 && value < 1 ? value : SMOOTHING;
  }

  set smoothing(value: number) {
    this.url.set({ smoothing: value === SMOOTHING ? null : String(value) });
  }

  /** The moment from which time is counted, in Unix seconds; 0 on the other axes. */
  get origin(): number {
    return this.axis === "time" ? (this.store.extent("time")?.[0] ?? 0) : 0;
  }

  /** The range that is zoomed to, counted from `origin`; null: all. */
  get range(): [number, number] | null {
    const [from, to] = (this.url.get("range") ?? "").split("~").map(Number);
    return from !== undefined && to !== undefined && from < to ? [from, to] : null;
  }

  set range(range: [number, number] | null) {
    this.url.set({ range: range && `${rounded(range[0])}~${rounded(range[1])}` });
  }

  /** What all charts show of their axis, counted from `origin`. */
  get shown(): [number, number] {
    if (this.range) return this.range;
    const extent = this.store.extent(this.axis);
    if (!extent) return [0, 1];
    const origin = this.axis === "time" ? extent[0] : 0;
    const end = extent[1] - origin;
    return [0, end > 0 ? end : 1];
  }

  isLog(panel: string): boolean {
    return this.list("log").includes(panel);
  }

  isHidden(key: string): boolean {
    return this.list("hide").includes(key);
  }

  isTable(panel: string): boolean {
    return this.list("table").includes(panel);
  }

  toggle(list: "log" | "hide" | "table", name: string): void {
    const now = this.list(list);
    const next = now.includes(name) ? now.filter((each) => each !== name) : [...now, name];
    this.url.set({ [list]: next.length ? next.map((each) => each.replace(/[%,]/g, encodeURIComponent)).join(",") : null });
  }

  /** Half (or double) the range, around the crosshair or the middle. */
  zoomBy(factor: number): void {
    const [from, to] = this.shown;
    const middle = this.cross ?? (from + to) / 2;
    const whole = this.store.extent(this.axis);
    const end = whole ? whole[1] - this.origin : to;
    const next: [number, number] = [Math.max(0, middle - (middle - from) * factor), Math.min(end, middle + (to - middle) * factor)];
    this.range = next[0] <= 0 && next[1] >= end ? null : next;
  }

  private list(name: string): string[] {
    return (this.url.get(name) ?? "").split(",").filter(Boolean).map(decoded);
  }
}

function rounded(value: number): number {
  return Number(value.toPrecision(8));
}
