/** What jsdom has not. Import it first. */
export const sight = { isNear: true };

class Observer {
  constructor(private readonly tell: (entries: { isIntersecting: boolean }[]) => void) {}
  observe() {
    if (this instanceof Intersections) this.tell([{ isIntersecting: sight.isNear }]);
  }
  unobserve() {}
  disconnect() {}
}
class Intersections extends Observer {}

Object.assign(globalThis, {
  matchMedia: () => ({ matches: false, addEventListener: () => undefined, removeEventListener: () => undefined }),
  ResizeObserver: class {
    observe() {}
    unobserve() {}
    disconnect() {}
  },
  IntersectionObserver: Intersections,
  scrollTo: () => undefined,
});
Object.defineProperty(HTMLElement.prototype, "clientWidth", { configurable: true, get: () => 600 });
