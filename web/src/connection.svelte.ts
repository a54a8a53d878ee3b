/** Whether the server answers. While it does not, it is asked again at growing intervals, and what is shown stays. */
import { backoff } from "./backoff";

export type Connection = "ok" | "offline" | "unauthorised";

let state = $state<Connection>("ok");
let retryAt = $state(0); // milliseconds since 1970; 0: not waiting
let returns = $state(0);
let failures = 0;
let waiting: ReturnType<typeof setTimeout> | undefined;
let probe: () => Promise<unknown> = () => Promise.resolve();

export const connection = {
  get state() {
    return state;
  },
  get retryAt() {
    return retryAt;
  },
  /** Counts how often the server came back: what failed to load watches it and tries again. */
  get returns() {
    return returns;
  },
  /** The cheap request that finds out whether the server is back. */
  probeWith(request: () => Promise<unknown>) {
    probe = request;
  },
  /** A request was not answered at all. */
  lost() {
    if (state === "unauthorised") return;
    state = "offline";
    clearTimeout(waiting);
    const wait = backoff(failures++);
    retryAt = Date.now() + wait;
    waiting = setTimeout(() => this.retry(), wait);
  },
  /** A request was answered with this HTTP status. */
  answered(status: number) {
    clearTimeout(waiting);
    failures = 0;
    retryAt = 0;
    const was = state;
    state = status === 401 ? "unauthorised" : "ok";
    if (was !== "ok" && state === "ok") returns++;
  },
  retry() {
    clearTimeout(waiting);
    retryAt = 0;
    probe().catch(() => undefined); // `lost` and `answered` are told by the request itself
  },
};
