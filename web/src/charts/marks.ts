/** What happened on the way: the best epoch, resumes, notices. */
import type { Notice } from "../api";
import type { Axis, Series } from "./series";
import { nearest } from "./series";

export interface Mark {
  kind: "best" | "resume" | "notice" | "error";
  x: number; // counted from the axis's origin
  step: number;
  /** For a notice or a resume: which. */
  text: string;
  attempt?: number;
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
  const add = (kind: Mark["kind"], step: number, text: string, attempt?: number) => {
    const x = placed(step, axis, clock, origin);
    if (x !== null) marks.push({ kind, x, step, text, ...(attempt === undefined ? {} : { attempt }) });
  };
  for (const { attempt, from_step } of known.attempts) if (attempt > 1) add("resume", from_step, "", attempt);
  for (const { level, step, text } of known.notices) if (level !== "info") add(level === "error" ? "error" : "notice", step ?? 0, text);
  if (known.best !== null) add("best", known.best, "");
  return marks;
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
