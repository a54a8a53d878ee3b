/** The runs as the page knows them: loaded whole once, then kept by the live stream. */
import { api, type ApiError, type RunSummary } from "../api";
import { connection } from "../connection.svelte";
import { live } from "../stream";

let list = $state.raw<RunSummary[] | null>(null);
let error = $state.raw<ApiError | null>(null);
let loads = 0;

export const runs = {
  /** Newest first; null until loaded. */
  get list() {
    return list;
  },
  get error() {
    return error;
  },
  find(id: string): RunSummary | undefined {
    return list?.find((run) => run.id === id);
  },
  get running(): RunSummary[] {
    return (list ?? []).filter((run) => run.status === "running" || (run.status === "created" && run.is_job));
  },
  /** Loads the list; gives the cursor from which the stream goes on. */
  async load(): Promise<string | null> {
    const mine = ++loads;
    try {
      const answer = await api.runs();
      if (mine === loads) {
        list = answer.runs;
        error = null;
      }
      return answer.cursor;
    } catch (failed) {
      if (mine === loads) error = failed as ApiError;
      return null;
    }
  },
  /** Take over rows that changed, and rows that are gone. */
  apply(changed: RunSummary[], gone: string[], isAll = false) {
    list = isAll ? changed : merged(list ?? [], changed, gone);
  },
};

/** `rows` with changed ones replaced, new ones in front (newest first), and gone ones left out. */
export function merged(rows: RunSummary[], changed: RunSummary[], gone: string[]): RunSummary[] {
  const byId = new Map(changed.map((run) => [run.id, run]));
  const left = new Set(gone);
  const kept = rows.filter((run) => !left.has(run.id)).map((run) => byId.get(run.id) ?? run);
  const known = new Set(rows.map((run) => run.id));
  const added = changed.filter((run) => !known.has(run.id) && !left.has(run.id));
  if (!added.length) return kept;
  return [...added, ...kept].sort((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at));
}

let leaving = new AbortController();

/** Follow all runs: the list first, then what changes. Gives what ends it: a page that was left follows nothing more. */
export function followRuns(): () => void {
  leaving.abort();
  const mine = (leaving = new AbortController());
  void runs.load().then((cursor) => {
    if (!mine.signal.aborted) live.follow({ run: null, since: cursor });
  });
  return () => mine.abort();
}

/** Keeps the list current. Call once, while a component is made. */
export function keepRuns(): void {
  $effect(() => live.on("runs", ({ runs: changed, gone, all }) => runs.apply(changed, gone, all)));
  $effect(() => {
    if (connection.returns) void runs.load(); // what changed while the server was away
  });
}
