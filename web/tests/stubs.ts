/** What jsdom has not. Import it first. */
const watchers = new Set<(entries: { isIntersecting: boolean }[]) => void>();

/** Whether what is watched is near the screen. */
export const sight = {
  isNear: true,
  tell(isNear: boolean) {
    for (const watcher of watchers) watcher([{ isIntersecting: isNear }]);
  },
};

Object.assign(globalThis, {
  matchMedia: () => ({ matches: false, addEventListener: () => undefined, removeEventListener: () => undefined }),
  ResizeObserver: class {
    observe() {}
    unobserve() {}
    disconnect() {}
  },
  IntersectionObserver: class {
    constructor(private readonly watcher: (entries: { isIntersecting: boolean }[]) => void) {}
    observe() {
      watchers.add(this.watcher);
      this.watcher([{ isIntersecting: sight.isNear }]);
    }
    disconnect() {
      watchers.delete(this.watcher);
    }
  },
  scrollTo: () => undefined,
});
Object.defineProperty(HTMLElement.prototype, "clientWidth", { configurable: true, get: () => 600 });
