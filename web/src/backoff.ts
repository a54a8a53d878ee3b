const FIRST_MS = 500;
const LONGEST_MS = 15_000;

/** How long to wait before try number `failures` (from 0): doubling, bounded, and spread so that not all ask at once. */
export function backoff(failures: number, random: () => number = Math.random): number {
  const full = Math.min(LONGEST_MS, FIRST_MS * 2 ** failures);
  return full * (0.75 + 0.5 * random());
}
