/** The state of a view behind the address's #: for a page that is a file. */
import type { UrlState } from "../state";

export function hashState(): UrlState {
  let query = $state.raw(read());
  addEventListener("hashchange", () => (query = read()));
  addEventListener("popstate", () => (query = read()));
  return {
    get: (name) => query.get(name),
    set(values, { push = false } = {}) {
      const next = new URLSearchParams(query);
      for (const [name, value] of Object.entries(values)) {
        if (value === null) next.delete(name);
        else next.set(name, value);
      }
      query = next;
      const address = `#${next}`;
      try {
        if (push) history.pushState(null, "", address);
        else history.replaceState(null, "", address);
      } catch {
        // a browser that lets no file change its address: the state lives on in the page
      }
    },
  };
}

function read(): URLSearchParams {
  return new URLSearchParams(location.hash.slice(1));
}
