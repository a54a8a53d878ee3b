/**
 * Where the person is: the path below the page's base, and the query, which holds the state of the view.
 *
 * Links are plain `<a href>`; a click on one that stays within the dashboard is taken over here. Scroll positions are
 * kept for each step of the browser's history.
 */
import type { UrlState } from "./state";

const WRITE_AFTER_MS = 150; // a slider writes the address once it rests; browsers refuse hundreds of writes a minute
const SCROLL_KEY = "vitscope.scroll";

const base = new URL(document.querySelector("base")?.getAttribute("href") ?? "/", location.href).pathname;

interface Place {
  path: string; // without slashes at its ends: "runs/k3vq/curves"
  query: URLSearchParams;
}

function read(): Place {
  const below = location.pathname.startsWith(base) ? location.pathname.slice(base.length) : location.pathname;
  return { path: below.replace(/^\/+|\/+$/g, ""), query: new URLSearchParams(location.search) };
}

let place = $state.raw<Place>(read());
let writing: ReturnType<typeof setTimeout> | undefined;
const scrolls = new Map<string, number>();
const queries = new Map([[place.path, place.query.toString()]]); // the last state of each view, so that a tab comes back as it was left

/** The text that an address holds; as it stands, where that is none (somebody typed it). */
export function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function address({ path, query }: Place): string {
  const text = query.toString();
  return base + path + (text ? `?${text}` : "");
}

function key(): string {
  return (history.state as { key?: string } | null)?.key ?? "first";
}

/** A path with the query that its view was left with. Links watch it: the view that is shown changes it. */
function asLeft(path: string): string {
  void place;
  const left = queries.get(path);
  return path + (left ? `?${left}` : "");
}

function flush(): void {
  clearTimeout(writing);
  writing = undefined;
  if (location.pathname + location.search !== address(place)) history.replaceState({ key: key() }, "", address(place));
}

export const router = {
  get path() {
    return place.path;
  },
  get parts() {
    return place.path.split("/").map(decoded);
  },
  get query() {
    return place.query;
  },
  /** The address of a path, for links; its query as the view was left, where `keep` is set. */
  href(path: string, { keep = false } = {}): string {
    return base + (keep ? asLeft(path) : path);
  },
  go(target: string, { replace = false, keep = false } = {}): void {
    flush();
    const [path = "", query = ""] = (keep ? asLeft(target) : target).split("?");
    const next = { path: path.replace(/^\/+|\/+$/g, ""), query: new URLSearchParams(query) };
    if (replace) history.replaceState({ key: key() }, "", address(next));
    else {
      scrolls.set(key(), scrollY);
      history.pushState({ key: crypto.getRandomValues(new Uint32Array(1))[0]!.toString(36) }, "", address(next));
    }
    show(next);
    if (!replace) scrollTo(0, 0);
  },
};

/** The state of the view that is shown, in the address's query. */
export const urlState: UrlState = {
  get: (name) => place.query.get(name),
  set(values, { push = false, now = false } = {}) {
    const query = new URLSearchParams(place.query);
    for (const [name, value] of Object.entries(values)) {
      if (value === null) query.delete(name);
      else query.set(name, value);
    }
    if (push) {
      flush();
      const next = { path: place.path, query };
      history.pushState({ key: crypto.getRandomValues(new Uint32Array(1))[0]!.toString(36) }, "", address(next));
      show(next);
    } else {
      show({ path: place.path, query });
      clearTimeout(writing);
      if (now) flush();
      else writing = setTimeout(flush, WRITE_AFTER_MS);
    }
  },
};

function show(next: Place): void {
  place = next;
  queries.set(next.path, next.query.toString());
}

/** Scrolls to where this step of the history was left; a page that is still loading is waited for, for a second. */
function restoreScroll(): void {
  const wanted = scrolls.get(key()) ?? 0;
  const until = performance.now() + 1000;
  const attempt = () => {
    scrollTo(0, wanted);
    if (Math.abs(scrollY - wanted) > 1 && performance.now() < until) requestAnimationFrame(attempt);
  };
  requestAnimationFrame(attempt);
}

/** Takes over links, the back button and scrolling. Call once. */
export function startRouter(): void {
  history.scrollRestoration = "manual";
  try {
    for (const [k, y] of JSON.parse(sessionStorage.getItem(SCROLL_KEY) ?? "[]") as [string, number][]) scrolls.set(k, y);
  } catch {
    // storage is switched off: a reload begins at the top
  }
  restoreScroll();
  addEventListener("scroll", () => scrolls.set(key(), scrollY), { passive: true });
  addEventListener("pagehide", () => {
    flush();
    try {
      sessionStorage.setItem(SCROLL_KEY, JSON.stringify([...scrolls].slice(-50)));
    } catch {
      // as above
    }
  });
  addEventListener("popstate", () => {
    clearTimeout(writing);
    show(read());
    restoreScroll();
  });
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.("a");
    if (!link || link.target || link.hasAttribute("download")) return;
    const url = new URL(link.href, location.href);
    const below = url.pathname.slice(base.length);
    if (url.origin !== location.origin || !url.pathname.startsWith(base) || below.startsWith("api/")) return;
    event.preventDefault();
    router.go(below + url.search);
  });
}
