/** How a run that is not at work came to where it is, as the server tells it. */
import type { RunSummary } from "../api";

const END_OF_LOG = " The end of its log: ";

/** A message as one sentence, and the lines of a log that were quoted in it. */
export function toldBy(message: string): { sentence: string; log: string[] } {
  const at = message.indexOf(END_OF_LOG);
  if (at < 0) return { sentence: message, log: [] };
  return { sentence: message.slice(0, at), log: message.slice(at + END_OF_LOG.length).split(" | ") };
}

/** Whether it stopped or failed, so that nothing more comes of it until somebody acts. */
export function hasStopped(run: RunSummary): boolean {
  return run.status === "failed" || run.status === "interrupted";
}

/** Whether it failed before it began: what was asked for cannot be done, and to go on with it would fail the same way. */
export function neverBegan(run: RunSummary): boolean {
  return run.status === "failed" && !run.started_at && run.step === 0 && !/^(Its|The) process /.test(run.message);
}
