import type { UrlState } from "../src/state";

/** A state as the address keeps it, in memory. */
export function makeState(values: Record<string, string>): UrlState {
  let query = $state.raw(new URLSearchParams(values));
  return {
    get: (name) => query.get(name),
    set(next) {
      const changed = new URLSearchParams(query);
      for (const [name, value] of Object.entries(next)) {
        if (value === null) changed.delete(name);
        else changed.set(name, value);
      }
      query = changed;
    },
  };
}
