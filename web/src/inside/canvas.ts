/** Drawing maps of small numbers as pictures. */
import { index, type ColourMap } from "./colour";
import type { Cell } from "./grid";

/** A canvas as sharp as the screen; units are CSS pixels. What was on it is gone. */
export function sharp(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | null {
  const ratio = Math.min(3, globalThis.devicePixelRatio || 1);
  const [w, h] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  const context = canvas.getContext("2d");
  if (!context) return null;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** The value of a design token where an element stands. */
export function token(element: Element, name: string): string {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

/** Row and column under a pointer, of an element that shows `rows` × `cols` cells. */
export function cellUnder(event: MouseEvent, element: Element, rows: number, cols: number): Cell {
  const box = element.getBoundingClientRect();
  const along = (part: number, whole: number, count: number) => Math.max(0, Math.min(count - 1, Math.floor((part / whole) * count)));
  return { row: along(event.clientY - box.top, box.height, rows), col: along(event.clientX - box.left, box.width, cols) };
}

/** Many small pictures of one size on a canvas that is not shown, in rows: browsers refuse canvases that are very wide. */
export class Mosaic {
  private readonly canvas = document.createElement("canvas");
  private readonly context: CanvasRenderingContext2D | null;
  private readonly data: ImageData | null;
  private readonly words: Uint32Array;
  private readonly across: number;
  private readonly stride: number;

  constructor(
    count: number,
    private readonly height: number,
    private readonly width: number,
  ) {
    this.across = Math.max(1, Math.min(count, Math.ceil(Math.sqrt((count * height) / Math.max(1, width))))); // about square
    this.stride = Math.max(1, this.across * width);
    const down = Math.max(1, Math.ceil(count / this.across) * height);
    this.canvas.width = this.stride;
    this.canvas.height = down;
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.data = this.context?.createImageData(this.stride, down) ?? null;
    this.words = this.data ? new Uint32Array(this.data.data.buffer) : new Uint32Array(this.stride * down);
  }

  private left(at: number): number {
    return (at % this.across) * this.width;
  }

  private top(at: number): number {
    return Math.floor(at / this.across) * this.height;
  }

  /** Values from `offset` on, in 0 … scale; NaN becomes transparent. */
  fill(at: number, values: ArrayLike<number>, offset: number, scale: number, map: ColourMap): void {
    this.paint(at, (i) => {
      const value = values[offset + i]!;
      return Number.isNaN(value) ? 0 : map[index(value, scale)]!;
    });
  }

  /** Colours as they are: `word` of each pixel. */
  paint(at: number, word: (i: number) => number): void {
    for (let y = 0; y < this.height; y++) {
      const row = (this.top(at) + y) * this.stride + this.left(at);
      for (let x = 0; x < this.width; x++) this.words[row + x] = word(y * this.width + x);
    }
  }

  /** To call after filling, before drawing. */
  done(): void {
    if (this.data) this.context?.putImageData(this.data, 0, 0);
  }

  draw(context: CanvasRenderingContext2D, at: number, x: number, y: number, width: number, height: number, isSmooth = false): void {
    context.imageSmoothingEnabled = isSmooth;
    context.drawImage(this.canvas, this.left(at), this.top(at), this.width, this.height, x, y, width, height);
  }
}
