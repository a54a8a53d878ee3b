/** What can be done with runs, each told in a toast; deleting can be undone there. */
import { api, ApiError, type RunSummary } from "../api";
import { runs as texts_ } from "../i18n/runs";
import { frame } from "../i18n/frame";
import { texts } from "../i18n/language.svelte";
import { toasts } from "../toasts.svelte";
import { runs } from "./store.svelte";

const t = texts(texts_);
const f = texts(frame);

const RESUME_TRIES = 4;
const RESUME_WAIT_MS = 1500;

function tell(error: unknown): void {
  if (!(error instanceof ApiError)) throw error;
  toasts.show(error.status === 0 ? f("noAnswer") : error.message, { kind: "bad" });
}

/** Those for which it worked; of the others the first error is told. */
async function each(chosen: RunSummary[], act: (id: string) => Promise<unknown>): Promise<RunSummary[]> {
  const outcomes = await Promise.allSettled(chosen.map((run) => act(run.id)));
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed) tell(failed.reason);
  return chosen.filter((_, i) => outcomes[i]!.status === "fulfilled");
}

export async function deleteRuns(chosen: RunSummary[]): Promise<RunSummary[]> {
  const done = await each(chosen, api.remove);
  if (!done.length) return done;
  runs.apply([], done.map((run) => run.id));
  const text = done.length === 1 ? t("deletedOne", { name: done[0]!.name }) : t("deletedMany", { count: done.length });
  toasts.show(text, { action: { label: t("undo"), run: () => void restoreRuns(done) } });
  return done;
}

export async function restoreRuns(chosen: RunSummary[]): Promise<RunSummary[]> {
  const done = await each(chosen, api.restore);
  if (!done.length) return done;
  runs.apply(done.map((run) => ({ ...run, deleted_at: null })), []);
  toasts.show(done.length === 1 ? t("restoredOne", { name: done[0]!.name }) : t("restoredMany", { count: done.length }));
  return done;
}

export async function stopRun(run: RunSummary): Promise<boolean> {
  const done = await each([run], api.stop);
  if (done.length) toasts.show(t("stopAsked", { name: run.name }));
  return done.length > 0;
}

/**
 * A run that has just stopped is still held by its process for a moment: it is asked again then. Where somebody else was
 * quicker, in another window, it goes on as was wanted.
 */
async function resume(id: string): Promise<void> {
  for (let left = RESUME_TRIES; ; left--) {
    try {
      await api.resume(id);
      return;
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 409) throw error;
      const now = await api.run(id);
      if (now.status === "running" || (now.status === "created" && now.is_job)) return;
      if (left <= 1) throw error;
      await new Promise((later) => setTimeout(later, RESUME_WAIT_MS));
    }
  }
}

export async function resumeRun(run: RunSummary): Promise<boolean> {
  const done = await each([run], resume);
  // At once, before the server's own word of it comes.
  const now = runs.find(run.id) ?? run;
  if (done.length && now.status !== "running") runs.apply([{ ...now, status: "created", is_job: true, message: "" }], []);
  if (done.length) toasts.show(t("resumed", { name: run.name }));
  return done.length > 0;
}
