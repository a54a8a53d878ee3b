/** The page's one live stream. */
import { api, apiUrl } from "./api";
import { Live } from "./live";

export const live = new Live({
  open: ({ run, since }) => new EventSource(apiUrl("live", { run, since })),
  isHidden: () => document.hidden,
  now: () => performance.now(),
  later: (run, ms) => setTimeout(run, ms),
  cancel: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
  broke: () => void api.session().catch(() => undefined), // the request itself tells the connection what it met
});

/** Ends the stream while the page is hidden, or kept aside for the browser's back button. Call once. */
export function startStream(): void {
  document.addEventListener("visibilitychange", () => live.visibilityChanged());
  addEventListener("online", () => live.visibilityChanged());
  addEventListener("pagehide", () => live.rest());
  addEventListener("pageshow", () => live.visibilityChanged());
}
