/** What the list of runs shows, and in which order. */
import type { RunSummary, Status } from "../api";

export const COLUMNS = ["status", "name", "data", "model", "progress", "best", "test", "age"] as const;
export type Column = (typeof COLUMNS)[number];
export const STATUSES: Status[] = ["running", "created", "interrupted", "failed", "finished"];

export interface Order {
  column: Column;
  isDescending: boolean;
}

export const NEWEST_FIRST: Order = { column: "age", isDescending: true };

/** "-best" in an address is best, descending. */
export function readOrder(text: string | null): Order {
  const column = text?.replace(/^-/, "") as Column | undefined;
  return text && column && COLUMNS.includes(column) ? { column, isDescending: text.startsWith("-") } : NEWEST_FIRST;
}

export function writeOrder({ column, isDescending }: Order): string | null {
  const text = (isDescending ? "-" : "") + column;
  return text === "-age" ? null : text;
}

/** A first click shows what is looked for first: the newest, the best, the names from A. */
export function nextOrder(now: Order, column: Column): Order {
  if (now.column === column) return { column, isDescending: !now.isDescending };
  return { column, isDescending: ["progress", "best", "test", "age"].includes(column) };
}

const VALUE: Record<Column, (run: RunSummary) => string | number | null> = {
  status: (run) => STATUSES.indexOf(run.status),
  name: (run) => run.name,
  data: (run) => run.source,
  model: (run) => run.model,
  progress: (run) => run.progress,
  best: (run) => run.best_val_top1,
  test: (run) => run.test_top1,
  age: (run) => Date.parse(run.deleted_at ?? run.created_at),
};

/** A sorted copy. What has no value comes last either way; equals keep their order. */
export function sorted(rows: RunSummary[], order: Order, locale: string): RunSummary[] {
  const value = VALUE[order.column];
  const words = new Intl.Collator(locale, { numeric: true });
  const sign = order.isDescending ? -1 : 1;
  return rows
    .map((run) => ({ run, value: value(run) }))
    .sort((a, b) => {
      if (a.value === null || b.value === null) return Number(a.value === null) - Number(b.value === null);
      if (typeof a.value === "string" || typeof b.value === "string") return sign * words.compare(String(a.value), String(b.value));
      return sign * (a.value - b.value);
    })
    .map(({ run }) => run);
}

/** Runs of which name, id, data or model hold every word of `text`. */
export function matching(rows: RunSummary[], text: string): RunSummary[] {
  const words = text.trim().toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return rows;
  return rows.filter((run) => {
    const whole = `${run.name} ${run.id} ${run.source} ${run.model}`.toLowerCase();
    return words.every((word) => whole.includes(word));
  });
}

export function countByStatus(rows: RunSummary[]): Map<Status, number> {
  const counts = new Map<Status, number>();
  for (const { status } of rows) counts.set(status, (counts.get(status) ?? 0) + 1);
  return counts;
}

/** Finished epochs, as the steps tell. */
export function epochsDone(run: RunSummary): number | null {
  if (!run.epochs || !run.total_steps) return null;
  return Math.floor((run.step / run.total_steps) * run.epochs + 1e-9);
}

export interface Window {
  first: number;
  last: number; // not shown itself
  before: number; // pixels of what is above
  after: number;
}

/** Which rows of equal height are near the screen, `top` being where the first row begins in the page. */
export function windowOf(count: number, rowHeight: number, top: number, scrollY: number, height: number, margin = 8): Window {
  const first = Math.min(count, Math.max(0, Math.floor((scrollY - top) / rowHeight) - margin));
  const last = Math.max(first, Math.min(count, Math.ceil((scrollY + height - top) / rowHeight) + margin));
  return { first, last, before: first * rowHeight, after: (count - last) * rowHeight };
}
