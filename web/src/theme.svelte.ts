/** Light or dark: the system's until the person chooses. */
export type Theme = "light" | "dark";
const KEY = "vitscope.theme";

const system = matchMedia("(prefers-color-scheme: dark)");
let chosen = $state<Theme | null>(read());
let systemIsDark = $state(system.matches);
let isOnPaper = $state(false);

function read(): Theme | null {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === "light" || kept === "dark" ? kept : null;
  } catch {
    return null; // storage is switched off
  }
}

function apply(): void {
  document.documentElement.dataset.theme = theme.current;
}

export const theme = {
  get current(): Theme {
    return isOnPaper ? "light" : (chosen ?? (systemIsDark ? "dark" : "light"));
  },
  toggle() {
    chosen = this.current === "dark" ? "light" : "dark";
    apply();
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // kept for this page only
    }
  },
  /** While it is printed: paper is white. */
  onPaper(on: boolean) {
    isOnPaper = on;
    apply();
  },
  start() {
    apply();
    system.addEventListener("change", (event) => {
      systemIsDark = event.matches;
      apply();
    });
  },
};
