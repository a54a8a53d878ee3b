/** Drawing maps of small numbers as pictures. */
import { index, type ColourMap } from "./colour";

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

/** Many small pictures of one size, side by side on a canvas that is not shown. */
export class Mosaic {
  private readonly canvas = document.createElement("canvas");
  private readonly context: CanvasRenderingContext2D | null;
  private readonly data: ImageData | null;
  readonly words: Uint32Array;
  private readonly stride: number;

  constructor(
    readonly count: number,
    readonly height: number,
    readonly width: number,
  ) {
    this.stride = Math.max(1, count * width);
    this.canvas.width = this.stride;
    this.canvas.height = Math.max(1, height);
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.data = this.context?.createImageData(this.stride, Math.max(1, height)) ?? null;
    this.words = this.data ? new Uint32Array(this.data.data.buffer) : new Uint32Array(this.stride * Math.max(1, height));
  }

  /** Values from `offset` on, in 0 … scale; NaN becomes transparent. */
  fill(at: number, values: ArrayLike<number>, offset: number, scale: number, map: ColourMap): void {
    for (let y = 0; y < this.height; y++) {
      const row = y * this.stride + at * this.width;
      const from = offset + y * this.width;
      for (let x = 0; x < this.width; x++) {
        const value = values[from + x]!;
        this.words[row + x] = Number.isNaN(value) ? 0 : map[index(value, scale)]!;
      }
    }
  }

  /** Colours as they are: `word` of each pixel. */
  paint(at: number, word: (i: number) => number): void {
    for (let y = 0; y < this.height; y++) {
      const row = y * this.stride + at * this.width;
      for (let x = 0; x < this.width; x++) this.words[row + x] = word(y * this.width + x);
    }
  }

  /** To call after filling, before drawing. */
  done(): void {
    if (this.data) this.context?.putImageData(this.data, 0, 0);
  }

  draw(context: CanvasRenderingContext2D, at: number, x: number, y: number, width: number, height: number, isSmooth = false): void {
    context.imageSmoothingEnabled = isSmooth;
    context.drawImage(this.canvas, at * this.width, 0, this.width, this.height, x, y, width, height);
  }
}
