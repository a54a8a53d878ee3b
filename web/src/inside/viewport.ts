/** A window onto a drawing: screen = world · k + (x, y). */
export interface View {
  x: number;
  y: number;
  k: number;
}

export interface Size {
  width: number;
  height: number;
}

export interface Limits {
  smallest: number;
  largest: number;
}

/** Zooms by `factor` so that what is under (x, y) stays there. */
export function zoomAt(view: View, x: number, y: number, factor: number, limits: Limits): View {
  const k = Math.max(limits.smallest, Math.min(limits.largest, view.k * factor));
  const by = k / view.k;
  return { k, x: x - (x - view.x) * by, y: y - (y - view.y) * by };
}

/** All of the world in the middle of the screen, no larger than `largest`. */
export function fit(world: Size, screen: Size, { padding = 0, largest = Infinity }: { padding?: number; largest?: number } = {}): View {
  const k = Math.min(largest, (screen.width - 2 * padding) / world.width, (screen.height - 2 * padding) / world.height);
  const scale = Number.isFinite(k) && k > 0 ? k : 1;
  return { k: scale, x: (screen.width - world.width * scale) / 2, y: (screen.height - world.height * scale) / 2 };
}

/** Holds the world in sight: what is larger than the screen covers it, what is smaller stays inside. */
export function hold(view: View, world: Size, screen: Size, margin = 0): View {
  const along = (at: number, length: number, room: number) => {
    const free = room - length;
    const [low, high] = free >= 0 ? [margin < free ? margin : free / 2, free - (margin < free ? margin : free / 2)] : [free - margin, margin];
    return Math.max(Math.min(low, high), Math.min(Math.max(low, high), at));
  };
  return { k: view.k, x: along(view.x, world.width * view.k, screen.width), y: along(view.y, world.height * view.k, screen.height) };
}

/** How many times a turn of the wheel enlarges. */
export function wheelFactor(event: { deltaY: number; deltaMode: number; ctrlKey: boolean }): number {
  const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1);
  return 2 ** (-Math.max(-160, Math.min(160, pixels)) * (event.ctrlKey ? 0.01 : 0.0025));
}
