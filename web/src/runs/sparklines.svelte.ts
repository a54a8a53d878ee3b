/** Small validation curves, asked for together and only for the rows that are seen. */
import { api, toNumber, type RunSummary } from "../api";
import { epochsDone } from "./list";

const TOGETHER_MS = 60;
const MOST = 60;
const AGAIN_MS = 4000;

let known = $state.raw(new Map<string, number[]>());
const asked = new Map<string, string>(); // id → what the run was like when it was asked
const waiting = new Map<string, number>(); // id → epochs that its curve should have
let timer: ReturnType<typeof setTimeout> | undefined;

export const sparklines = {
  /** The curve of a run: undefined until it is there. */
  of: (id: string): number[] | undefined => known.get(id),
  /** A row is seen: ask for its curve, anew when it may have another point. */
  want(run: RunSummary) {
    const done = epochsDone(run);
    const now = [run.status, run.best_val_top1, done].join();
    if (asked.get(run.id) === now) return;
    asked.set(run.id, now);
    if (run.best_val_top1 === null) return;
    waiting.set(run.id, run.status === "running" ? (done ?? 0) : -1);
    timer ??= setTimeout(() => void load(), TOGETHER_MS);
  },
};

async function load(): Promise<void> {
  timer = undefined;
  const wanted = [...waiting].slice(0, MOST);
  const ids = wanted.map(([id]) => id);
  for (const id of ids) waiting.delete(id);
  if (waiting.size) timer = setTimeout(() => void load(), TOGETHER_MS);
  try {
    const answer = await api.sparklines(ids);
    const next = new Map(known);
    for (const id of ids) next.set(id, (answer[id]?.top1 ?? []).map(toNumber));
    known = next;
    // An epoch is done before it is validated: its point is asked for a little later.
    const behind = wanted.filter(([id, epochs]) => !(toNumber(answer[id]?.epoch.at(-1)) >= epochs - 0.01));
    if (behind.length) setTimeout(() => behind.forEach(([id]) => asked.delete(id)), AGAIN_MS);
  } catch {
    for (const id of ids) asked.delete(id); // asked again when the row is seen the next time
  }
}
