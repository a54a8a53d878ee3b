/** What happened on the way: the best epoch, resumes, warnings and errors. */
import type { Notice } from "../api";
import type { Axis, Series } from "./series";
import { firstAbove, nearest } from "./series";

export interface Mark {
  kind: "best" | "resume" | "notice" | "error";
  x: number; // counted from the axis's origin
  step: number;
  /** For a notice or a resume: which. */
  text: string;
  attempt?: number;
  alert?: string;
}

/** Where a step lies on another axis, by the curve with the most points. */
export function placed(step: number, axis: Axis, clock: Series | undefined, origin: number): number | null {
  if (axis === "step") return step;
  if (!clock) return null;
  const at = nearest(clock.step, step);
  return at < 0 ? null : clock[axis][at]! - origin;
}

export function marksOf(
  known: { best: number | null; attempts: { attempt: number; from_step: number }[]; notices: Notice[] },
  axis: Axis,
  clock: Series | undefined,
  origin: number,
): Mark[] {
  const marks: Mark[] = [];
  const add = (kind: Mark["kind"], step: number, text: string, more: Pick<Mark, "attempt" | "alert"> = {}) => {
    const x = placed(step, axis, clock, origin);
    if (x !== null) marks.push({ kind, x, step, text, ...more });
  };
  for (const { attempt, from_step } of known.attempts) if (attempt > 1) add("resume", from_step, "", { attempt });
  for (const { level, step, time, text, alert } of known.notices) {
    const at = step ?? stepAt(time, clock);
    // What was said before the first step is of the run as a whole: its details tell it, no moment of a curve.
    if (level !== "info" && at > 0) add(level === "error" ? "error" : "notice", at, text, alert ? { alert } : {});
  }
  if (known.best !== null) add("best", known.best, "");
  return marks;
}

/** The step at which a run was at a time; 0 before its first one. */
function stepAt(time: string | number, clock: Series | undefined): number {
  const seconds = typeof time === "number" ? time : Date.parse(time) / 1000;
  return clock?.step[firstAbove(clock.time, seconds, false) - 1] ?? 0;
}

/** The marks at a place, as far as it can be pointed at: a hundredth of what is shown. */
export function near(marks: Mark[], x: number, [from, to]: [number, number]): Mark[] {
  return marks.filter((mark) => Math.abs(mark.x - x) < (to - from) / 100);
}

/** Marks that would lie on one another are one, of the most serious kind. */
export function spread(marks: Mark[], pixels: (x: number) => number, apart = 8): { mark: Mark; all: Mark[]; at: number }[] {
  const rank = { error: 0, notice: 1, resume: 2, best: 3 };
  const groups: { mark: Mark; all: Mark[]; at: number }[] = [];
  for (const mark of marks.toSorted((a, b) => a.x - b.x)) {
    const at = pixels(mark.x);
    const last = groups.at(-1);
    if (last && mark.kind !== "best" && last.mark.kind !== "best" && at - last.at < apart) {
      last.all.push(mark);
      if (rank[mark.kind] < rank[last.mark.kind]) last.mark = mark;
    } else groups.push({ mark, all: [mark], at });
  }
  return groups;
}
