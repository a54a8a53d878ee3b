/** Something loaded from the server: what was loaded stays while it is loaded anew, and when that fails. */
import { untrack } from "svelte";
import { ApiError } from "./api";
import { connection } from "./connection.svelte";

export class Resource<T> {
  data = $state.raw<T | undefined>();
  error = $state.raw<ApiError | null>(null);
  isLoading = $state(false);
  private running: AbortController | null = null;

  constructor(private readonly load: (signal: AbortSignal) => Promise<T>) {}

  /** Loads; a load under way is given up. */
  async refresh(): Promise<void> {
    this.running?.abort();
    const mine = new AbortController();
    this.running = mine;
    this.isLoading = true;
    try {
      const data = await this.load(mine.signal);
      if (mine.signal.aborted) return;
      this.data = data;
      this.error = null;
    } catch (error) {
      if (mine.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.error = error;
    }
    this.isLoading = false;
  }

  stop(): void {
    this.running?.abort();
  }
}

/**
 * Call while a component is made: loads now, again when `key` has another value (as JSON; what it is made of may change
 * as often as it likes, and so may what `load` reads) and when the server is back after an absence.
 */
export function resource<T>(load: (signal: AbortSignal) => Promise<T>, key: () => unknown = () => null): Resource<T> {
  const made = new Resource(load);
  const wanted = $derived(JSON.stringify(key()));
  $effect(() => {
    void [wanted, connection.returns];
    untrack(() => void made.refresh());
    return () => made.stop();
  });
  return made;
}
