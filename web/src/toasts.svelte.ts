/** Short messages at the edge of the page, one of which may carry an action (undo). */
export interface Toast {
  id: number;
  text: string;
  kind: "plain" | "bad";
  action?: { label: string; run: () => void };
}

const STAYS_MS = 8000;
const MOST = 3;
let shown = $state<Toast[]>([]);
let next = 1;
let isHeld = false;
const timers = new Map<number, ReturnType<typeof setTimeout>>();

function start(id: number): void {
  clearTimeout(timers.get(id));
  if (!isHeld) timers.set(id, setTimeout(() => toasts.dismiss(id), STAYS_MS));
}

export const toasts = {
  get shown() {
    return shown;
  },
  show(text: string, { kind = "plain" as Toast["kind"], action = undefined as Toast["action"] } = {}) {
    const toast: Toast = { id: next++, text, kind, ...(action ? { action } : {}) };
    shown = [...shown.slice(1 - MOST), toast];
    start(toast.id);
  },
  dismiss(id: number) {
    clearTimeout(timers.get(id));
    timers.delete(id);
    shown = shown.filter((toast) => toast.id !== id);
  },
  /** While somebody points at them or has the focus in them they stay; afterwards their time begins anew. */
  hold(on: boolean) {
    if (on === isHeld) return;
    isHeld = on;
    for (const { id } of shown) {
      if (on) clearTimeout(timers.get(id));
      else start(id);
    }
  },
};
