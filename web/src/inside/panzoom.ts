/**
 * Wheel, drag and pinch on an element, as changes of a view.
 *
 * The page keeps what scrolls it: the wheel alone, unless the element has the focus, and one finger.
 */
import { wheelFactor, zoomAt, type Limits, type View } from "./viewport";

const CLICK_PX = 4; // a pointer that moved less has clicked

interface Options {
  view(): View;
  limits(): Limits;
  change(view: View): void;
  /** A press that was no drag. */
  click?(x: number, y: number, event: PointerEvent): void;
  /** The pointer moves with no button pressed; null when it leaves. */
  hover?(at: { x: number; y: number } | null): void;
}

/** An attachment. Zooming out at its end is left to the page, which scrolls. */
export function panzoom(options: Options) {
  return (element: HTMLElement | SVGElement) => {
    const pressed = new Map<number, { x: number; y: number }>();
    let moved = 0;

    const place = (event: { clientX: number; clientY: number }) => {
      const box = element.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };

    const wheel = (event: Event) => {
      const turn = event as WheelEvent;
      if (!turn.ctrlKey && !turn.metaKey && !element.contains(document.activeElement)) return;
      const { k } = options.view();
      const limits = options.limits();
      const factor = wheelFactor(turn);
      if ((factor < 1 && k <= limits.smallest * 1.001) || (factor > 1 && k >= limits.largest * 0.999)) {
        if (turn.ctrlKey || turn.metaKey) turn.preventDefault(); // a pinch would enlarge the whole page
        return;
      }
      turn.preventDefault();
      const { x, y } = place(turn);
      options.change(zoomAt(options.view(), x, y, factor, limits));
    };

    const down = (event: Event) => {
      const press = event as PointerEvent;
      if (press.button !== 0) return;
      if (pressed.size === 0) moved = 0;
      pressed.set(press.pointerId, place(press));
    };

    const move = (event: Event) => {
      const at = place(event as PointerEvent);
      const id = (event as PointerEvent).pointerId;
      const before = pressed.get(id);
      if (!before) {
        options.hover?.(at);
        return;
      }
      const view = options.view();
      const other = [...pressed.entries()].find(([name]) => name !== id)?.[1];
      moved += Math.hypot(at.x - before.x, at.y - before.y);
      if ((event as PointerEvent).pointerType === "touch" && !other) {
        pressed.set(id, at);
        return;
      }
      if (moved > CLICK_PX && !element.hasPointerCapture(id)) element.setPointerCapture(id);
      if (other) {
        const [middle, old] = [midpoint(at, other), midpoint(before, other)];
        const factor = Math.hypot(at.x - other.x, at.y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y));
        const zoomed = zoomAt(view, old.x, old.y, factor, options.limits());
        options.change({ ...zoomed, x: zoomed.x + middle.x - old.x, y: zoomed.y + middle.y - old.y });
      } else if (moved > CLICK_PX) options.change({ ...view, x: view.x + at.x - before.x, y: view.y + at.y - before.y });
      pressed.set(id, at);
    };

    const up = (event: Event) => {
      const release = event as PointerEvent;
      if (!pressed.delete(release.pointerId) || pressed.size > 0) return;
      const { x, y } = place(release);
      if (release.type === "pointerup" && moved <= CLICK_PX) options.click?.(x, y, release);
    };

    // Two fingers are ours from the moment they lie there; later the browser has begun to scroll.
    const touch = (event: Event) => {
      if ((event as TouchEvent).touches.length > 1 && event.cancelable) event.preventDefault();
    };

    const leave = () => options.hover?.(null);
    const listeners: [string, (event: Event) => void, AddEventListenerOptions?][] = [
      ["wheel", wheel, { passive: false }],
      ["touchstart", touch, { passive: false }],
      ["touchmove", touch, { passive: false }],
      ["pointerdown", down],
      ["pointermove", move],
      ["pointerup", up],
      ["pointercancel", up],
      ["pointerleave", leave],
    ];
    for (const [name, run, how] of listeners) element.addEventListener(name, run, how);
    return () => {
      for (const [name, run] of listeners) element.removeEventListener(name, run);
    };
  };
}

function midpoint(a: { x: number; y: number }, b: { x: number; y: number }) {
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
}
