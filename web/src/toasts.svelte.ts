/** Short messages at the edge of the page, one of which may carry an action (undo). */
export interface Toast {
  id: number;
  text: string;
  kind: "plain" | "bad";
  action?: { label: string; run: () => void };
}

const STAYS_MS = 8000;
let shown = $state<Toast[]>([]);
let next = 1;

export const toasts = {
  get shown() {
    return shown;
  },
  show(text: string, { kind = "plain" as Toast["kind"], action = undefined as Toast["action"] } = {}) {
    const toast: Toast = { id: next++, text, kind, ...(action ? { action } : {}) };
    shown = [...shown.slice(-2), toast];
    setTimeout(() => this.dismiss(toast.id), STAYS_MS);
  },
  dismiss(id: number) {
    shown = shown.filter((toast) => toast.id !== id);
  },
};
