/** Which charts there are for what was recorded, and in which order. */
import type { Series } from "./series";

export interface Panel {
  name: string; // the metric's
  keys: string[]; // its curves: train, val, test, others, none
  group: "main" | "more" | "other";
  isPercent: boolean;
  mayBeLog: boolean;
}

const MAIN = ["loss", "top1"];
const MORE = ["lr", "grad_norm", "images_per_s"];
const SPLITS = ["train", "val", "test"];
const PERCENT = new Set(["top1", "top5", "data_wait"]);

/** A chart a metric, its splits together. The two that say how well it goes come first, then how the training runs. */
export function panelsOf(keys: string[]): Panel[] {
  const byName = new Map<string, string[]>();
  for (const key of keys) {
    const name = key.slice(key.indexOf("/") + 1);
    byName.set(name, [...(byName.get(name) ?? []), key]);
  }
  const rank = (name: string) => {
    const at = [...MAIN, ...MORE].indexOf(name);
    return at < 0 ? Infinity : at;
  };
  return [...byName.keys()]
    .sort((a, b) => (rank(a) === rank(b) ? a.localeCompare(b) : rank(a) - rank(b)))
    .map((name) => ({
      name,
      keys: byName.get(name)!.sort((a, b) => order(a) - order(b) || a.localeCompare(b)),
      group: MAIN.includes(name) ? "main" : MORE.includes(name) ? "more" : "other",
      isPercent: PERCENT.has(name),
      mayBeLog: !PERCENT.has(name),
    }));
}

function order(key: string): number {
  const at = SPLITS.indexOf(key.slice(0, key.indexOf("/")));
  return at < 0 ? SPLITS.length : at;
}

/** The token of a split's colour. */
export function colourOf(split: string): string {
  if (split === "") return "--ink-2";
  if (SPLITS.includes(split)) return `--${split}`;
  let sum = 0;
  for (const letter of split) sum = (sum * 31 + letter.charCodeAt(0)) % 997;
  return `--other-${(sum % 3) + 1}`;
}

/** Only what is measured more than once an epoch is smoothed; a schedule is exact as it is. */
export function isSmoothed(series: Series): boolean {
  if (series.name === "lr" || series.count < 10) return false;
  const epochs = (series.epoch.at(-1) ?? 0) - (series.epoch[0] ?? 0);
  return series.count > 1.5 * (epochs + 1);
}

export interface Best {
  step: number;
  epoch: number;
  top1: number;
}

/**
 * The best step by validation: highest accuracy, of equals the lowest loss, of equals the first. Points that stand for
 * several epochs count with the best of these.
 */
export function bestOf(top1: Series | undefined, loss: Series | undefined): Best | null {
  if (!top1) return null;
  const lossAt = new Map(loss?.step.map((step, i) => [step, loss.value[i]!]));
  let best: (Best & { loss: number }) | null = null;
  top1.high.forEach((value, i) => {
    const step = top1.step[i]!;
    const itsLoss = lossAt.get(step) ?? Infinity;
    if (Number.isFinite(value) && (!best || value > best.top1 || (value === best.top1 && itsLoss < best.loss))) best = { step, epoch: top1.epoch[i]!, top1: value, loss: itsLoss };
  });
  return best;
}
