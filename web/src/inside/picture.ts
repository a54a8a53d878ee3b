/** The picture with what the model looks at: drawn in three layers. */
import { index, type ColourMap } from "./colour";
import type { Mosaic } from "./canvas";
import { largest, type Place, type TokenGrid } from "./tokens";

export type Overlay = "brightness" | "colour";
const DARKEST = 0.88;
const COLOUR_COVERS = [0.35, 0.8] as const; // from where little is to where most is: the picture stays in sight beneath
const DARK = { lightness: 0.25, share: 0.25 }; // where so much of a picture is so dark, veils have too little to take away
/** Marks on a picture, which looks the same in both themes; each lies on a dark line. */
export const ON_PICTURE = { chosen: "#6cb2ff", pointed: "#ffffff", most: "#ff8ad8", object: "#ffc233", grid: "rgb(255 255 255 / 22%)" };
const CASING = "rgb(0 0 0 / 75%)";

/** Puts a map of `grid` into the mosaic: veils for brightness, colours otherwise. NaN is outside of what is looked at. */
export function fillOverlay(mosaic: Mosaic, values: Float32Array, scale: number, overlay: Overlay, map: ColourMap): void {
  if (overlay === "colour") {
    const [least, most] = COLOUR_COVERS;
    mosaic.paint(0, (i) => {
      const value = values[i]!;
      if (Number.isNaN(value)) return 0;
      const share = scale > 0 ? Math.max(0, Math.min(1, value / scale)) : 0;
      return ((map[index(value, scale)]! & 0xffffff) | (Math.round((least + share * (most - least)) * 255) << 24)) >>> 0;
    });
  } else {
    mosaic.paint(0, (i) => {
      const value = values[i]!;
      const share = scale > 0 && !Number.isNaN(value) ? Math.min(1, value / scale) : 0;
      return (Math.round((1 - share) * DARKEST * 255) << 24) >>> 0; // black, more or less of it
    });
  }
  mosaic.done();
}

/** Takes the colours out of what is drawn, so that those of a map over it are the only ones. */
export function toGrey(context: CanvasRenderingContext2D, side: number): void {
  context.globalCompositeOperation = "saturation";
  context.fillStyle = "#808080";
  context.fillRect(0, 0, side, side);
  context.globalCompositeOperation = "source-over";
}

/** How a map is shown best on a picture: veils say nothing where the picture itself is dark. */
export function overlayFor(picture: CanvasImageSource): Overlay {
  const SIDE = 16;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return "brightness";
  context.drawImage(picture, 0, 0, SIDE, SIDE);
  const { data } = context.getImageData(0, 0, SIDE, SIDE);
  let dark = 0;
  for (let i = 0; i < data.length; i += 4) if (0.2126 * data[i]! + 0.7152 * data[i + 1]! + 0.0722 * data[i + 2]! < DARK.lightness * 255) dark++;
  return dark > DARK.share * SIDE * SIDE ? "colour" : "brightness";
}

/** The patch with the most, outlined: where it is does not depend on what the picture shows there. */
export function drawMost(context: CanvasRenderingContext2D, values: ArrayLike<number>, grid: Pick<TokenGrid, "rows" | "cols">, side: number): void {
  const { at, value } = largest(values);
  if (value > 0) drawFrame(context, { row: Math.floor(at / grid.cols), col: at % grid.cols }, grid, side, ON_PICTURE.most);
}

/** The edge of an object, wide enough to be followed by eye. */
export function drawOutline(context: CanvasRenderingContext2D, outline: Path2D): void {
  context.lineJoin = "round";
  context.lineWidth = 4.5;
  context.strokeStyle = CASING;
  context.stroke(outline);
  context.lineWidth = 2;
  context.strokeStyle = ON_PICTURE.object;
  context.stroke(outline);
}

export function drawGrid(context: CanvasRenderingContext2D, grid: TokenGrid, side: number): void {
  if (side / grid.cols < 12) return; // lines would be most of what is seen
  context.beginPath();
  for (let c = 1; c < grid.cols; c++) {
    context.moveTo((side * c) / grid.cols, 0);
    context.lineTo((side * c) / grid.cols, side);
  }
  for (let r = 1; r < grid.rows; r++) {
    context.moveTo(0, (side * r) / grid.rows);
    context.lineTo(side, (side * r) / grid.rows);
  }
  context.strokeStyle = ON_PICTURE.grid;
  context.lineWidth = 0.5;
  context.stroke();
}

/** A frame around a patch that is seen on any ground: light inside dark. */
export function drawFrame(
  context: CanvasRenderingContext2D,
  place: Place,
  grid: Pick<TokenGrid, "rows" | "cols">,
  side: number,
  colour: string,
  isDashed = false,
): void {
  const [w, h] = [side / grid.cols, side / grid.rows];
  const [x, y] = [place.col * w, place.row * h];
  context.lineWidth = 4;
  context.strokeStyle = CASING;
  context.setLineDash([]);
  context.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
  context.lineWidth = 2;
  context.strokeStyle = colour;
  if (isDashed) context.setLineDash([4, 3]);
  context.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
  context.setLineDash([]);
}

/** The edge of an object's mask (side × side, nonzero inside) as lines along pixel edges, scaled to a square. */
export function outline(mask: ArrayLike<number>, [rows, cols]: [number, number], side: number): Path2D {
  const path = new Path2D();
  const inside = (r: number, c: number) => r >= 0 && r < rows && c >= 0 && c < cols && mask[r * cols + c]! > 0;
  const [h, w] = [side / rows, side / cols];
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) {
      if (!inside(r, c)) continue;
      const [x, y] = [c * w, r * h];
      if (!inside(r - 1, c)) edge(path, x, y, x + w, y);
      if (!inside(r + 1, c)) edge(path, x, y + h, x + w, y + h);
      if (!inside(r, c - 1)) edge(path, x, y, x, y + h);
      if (!inside(r, c + 1)) edge(path, x + w, y, x + w, y + h);
    }
  }
  return path;
}

function edge(path: Path2D, x0: number, y0: number, x1: number, y1: number): void {
  path.moveTo(x0, y0);
  path.lineTo(x1, y1);
}

/** A picture from its data address, once it can be drawn. */
export async function loadPicture(address: string): Promise<HTMLImageElement> {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  return picture;
}
