/** Small validation curves, asked for together and only for the rows that are seen. */
import { api, toNumber, type RunSummary } from "../api";
import { epochsDone } from "./list";

const TOGETHER_MS = 60;
const MOST = 60;

let known = $state.raw(new Map<string, number[]>());
const asked = new Map<string, number | null>(); // id → epochs that were done when it was asked
const waiting = new Set<string>();
let timer: ReturnType<typeof setTimeout> | undefined;

export const sparklines = {
  /** The curve of a run: undefined until it is there. */
  of: (id: string): number[] | undefined => known.get(id),
  /** A row is seen: ask for its curve, anew when it has another epoch. */
  want(run: RunSummary) {
    const done = epochsDone(run);
    if (asked.has(run.id) && asked.get(run.id) === done) return;
    asked.set(run.id, done);
    if (run.best_val_top1 === null) return;
    waiting.add(run.id);
    timer ??= setTimeout(() => void load(), TOGETHER_MS);
  },
};

async function load(): Promise<void> {
  timer = undefined;
  const ids = [...waiting].slice(0, MOST);
  for (const id of ids) waiting.delete(id);
  if (waiting.size) timer = setTimeout(() => void load(), TOGETHER_MS);
  try {
    const answer = await api.sparklines(ids);
    const next = new Map(known);
    for (const id of ids) next.set(id, (answer[id]?.top1 ?? []).map(toNumber));
    known = next;
  } catch {
    for (const id of ids) asked.delete(id); // asked again when the row is seen the next time
  }
}
