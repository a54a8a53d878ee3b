/** The moments of a run that can be shown: which there are on the time line, and which one is shown. */
import type { Moment, Overview } from "./types";

/** A place on the time line. Several moments of one step are one stop; the one that answers most is shown. */
export interface Stop {
  step: number;
  epoch: number | null;
  shown: Moment;
  isBest: boolean;
  isLast: boolean;
}

export function stops(moments: readonly Moment[]): Stop[] {
  const bySteps = new Map<number, Moment[]>();
  for (const moment of moments) bySteps.set(moment.step, [...(bySteps.get(moment.step) ?? []), moment]);
  return [...bySteps.entries()]
    .sort(([a], [b]) => a - b)
    .map(([step, here]) => ({
      step,
      epoch: here.find((m) => m.epoch !== null)?.epoch ?? null,
      shown:
        here.find((m) => m.id === "best") ?? here.find((m) => m.is_checkpoint && m.id !== "last") ?? here.find((m) => m.is_checkpoint) ?? here[0]!,
      isBest: here.some((m) => m.id === "best"),
      isLast: here.some((m) => m.id === "last"),
    }));
}

/** Whether a run still learns, so that new moments will come. */
export function isLive(overview: Overview): boolean {
  return overview.run?.status === "running";
}

/**
 * The moment to show: the one asked for; without one the newest of a run that learns (`follows`), and of one that has
 * ended its best. A moment that is no more gives the nearest by step, where its name tells the step.
 */
export function chosen(overview: Overview, asked: string | null): { moment: Moment | null; follows: boolean } {
  const { moments } = overview;
  const known = moments.find((m) => m.id === asked);
  if (known) return { moment: known, follows: false };
  const all = stops(moments);
  const step = Number(/^step-0*(\d+)$/.exec(asked ?? "")?.[1] ?? NaN);
  if (all.length && Number.isFinite(step)) {
    const nearest = all.reduce((a, b) => (Math.abs(b.step - step) < Math.abs(a.step - step) ? b : a));
    return { moment: nearest.shown, follows: false };
  }
  if (isLive(overview)) return { moment: all.at(-1)?.shown ?? null, follows: true };
  return { moment: moments.find((m) => m.id === "best") ?? moments.findLast((m) => m.is_checkpoint) ?? all.at(-1)?.shown ?? null, follows: false };
}
