/**
 * Keys. One letter, or two in a row (`g r`). They rest while a person types, while a dialog is open, and when switched
 * off (WCAG 2.1.4: single keys disturb speech input).
 */
export type Keys = Record<string, (event: KeyboardEvent) => void>;

const KEY = "vitscope.shortcuts";
const SEQUENCE_MS = 1200;
let areOn = $state(read());
const layers: Keys[] = [];
let first: { key: string; at: number } | null = null;

function read(): boolean {
  try {
    return localStorage.getItem(KEY) !== "off";
  } catch {
    return true; // storage is switched off
  }
}

export const shortcuts = {
  get areOn() {
    return areOn;
  },
  set(on: boolean) {
    areOn = on;
    try {
      localStorage.setItem(KEY, on ? "on" : "off");
    } catch {
      // kept for this page only
    }
  },
  /** Add keys; gives what takes them away again. */
  add(keys: Keys): () => void {
    layers.push(keys);
    return () => layers.splice(layers.indexOf(keys), 1);
  },
};

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  return target instanceof HTMLInputElement && !["checkbox", "radio", "range", "button"].includes(target.type);
}

/** Listens. Call once. */
export function startShortcuts(): void {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !areOn) return;
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const pressed = event.key;
    const sequence = first && performance.now() - first.at < SEQUENCE_MS ? `${first.key} ${pressed}` : "";
    first = null;
    for (const name of [sequence, pressed]) {
      const found = layers.findLast((keys) => name in keys)?.[name];
      if (!found) continue;
      event.preventDefault();
      found(event);
      return;
    }
    if (layers.some((keys) => Object.keys(keys).some((name) => name.startsWith(`${pressed} `)))) first = { key: pressed, at: performance.now() };
  });
}
