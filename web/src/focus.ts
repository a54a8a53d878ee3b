/** Where the focus goes when what had it goes from the page: browsers give it to nothing, and a keyboard would begin anew. */
import { tick } from "svelte";

/** Call after a change that may have taken away what had the focus; nothing is done where it is still somewhere. */
export async function keepFocus(fallback: () => HTMLElement | null | undefined): Promise<void> {
  await tick();
  if (document.activeElement === document.body || document.activeElement === null) fallback()?.focus({ preventScroll: true });
}
