/** Moving through a grid by keys, as the ARIA grid pattern asks. */
export interface Cell {
  row: number;
  col: number;
}

/** Where a key leads, or null where it is not one that moves. Rows may have different lengths. */
export function move(key: string, at: Cell, lengths: readonly number[], { ctrl = false } = {}): Cell | null {
  const rows = lengths.length;
  if (rows === 0) return null;
  const inside = (row: number, col: number): Cell => {
    const r = Math.max(0, Math.min(rows - 1, row));
    return { row: r, col: Math.max(0, Math.min((lengths[r] ?? 1) - 1, col)) };
  };
  switch (key) {
    case "ArrowLeft":
      return inside(at.row, at.col - 1);
    case "ArrowRight":
      return inside(at.row, at.col + 1);
    case "ArrowUp":
      return inside(at.row - 1, at.col);
    case "ArrowDown":
      return inside(at.row + 1, at.col);
    case "Home":
      return inside(ctrl ? 0 : at.row, 0);
    case "End":
      return inside(ctrl ? rows - 1 : at.row, Infinity);
    case "PageUp":
      return inside(at.row - 5, at.col);
    case "PageDown":
      return inside(at.row + 5, at.col);
    default:
      return null;
  }
}

export interface Box {
  id: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** The box that lies next in the direction of an arrow key: near, and little to the side. */
export function neighbour(key: string, from: Box, boxes: readonly Box[]): Box | null {
  const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  if (!direction) return null;
  const [dx, dy] = direction as [number, number];
  const centre = (box: Box) => [box.x + box.width / 2, box.y + box.height / 2] as const;
  const [x, y] = centre(from);
  let best: Box | null = null;
  let bestCost = Infinity;
  for (const box of boxes) {
    if (box.id === from.id) continue;
    const [bx, by] = centre(box);
    const ahead = (bx - x) * dx + (by - y) * dy;
    const aside = Math.abs((bx - x) * dy) + Math.abs((by - y) * dx);
    if (ahead <= 1 || aside > 3 * ahead + 40) continue;
    const cost = ahead + 2 * aside;
    if (cost < bestCost) {
      best = box;
      bestCost = cost;
    }
  }
  return best;
}
