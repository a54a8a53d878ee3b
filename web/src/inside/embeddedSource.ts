/** Documents that are in the page itself: `<script type="application/json" data-key="…">`, plain or gzip in base64. */
import { fromBase64, unpack, type DocumentSource, type Packed, type Tensor } from "../documents";
import type { Overview, Tile } from "./types";

export class MissingDocument extends Error {
  readonly status = 404;
  constructor(
    readonly key: string,
    readonly kind: "missing" | "broken" = "missing",
  ) {
    super(key);
    this.name = "MissingDocument";
  }
}

export class EmbeddedSource implements DocumentSource {
  private readonly scripts = new Map<string, HTMLScriptElement>();
  private readonly read = new Map<string, Promise<unknown>>();
  private readonly whole = new Map<string, Whole>();

  /** `words` says in the page's language that a document is missing or broken. */
  constructor(
    root: ParentNode = document,
    private readonly words: (error: MissingDocument) => string = (error) => `${error.kind}: ${error.key}`,
  ) {
    for (const script of root.querySelectorAll<HTMLScriptElement>('script[type="application/json"][data-key]'))
      this.scripts.set(script.dataset.key!, script);
  }

  get keys(): string[] {
    return [...this.scripts.keys()];
  }

  /** The query is for servers; of it only the part of a layer is heeded. */
  async get<T>(key: string, query: Record<string, string> = {}): Promise<T> {
    const document = await this.document(key);
    if (key === "overview") return this.withOneMoment(document as Overview) as T;
    if (key.startsWith("layer/")) return this.cut(key, document as Tile, query) as T;
    return document as T;
  }

  private document(key: string): Promise<unknown> {
    let reading = this.read.get(key);
    if (!reading) {
      reading = this.parse(key);
      this.read.set(key, reading);
    }
    return reading;
  }

  private async parse(key: string): Promise<unknown> {
    const script = this.scripts.get(key);
    if (!script) throw this.trouble(key, "missing");
    try {
      const text = script.textContent ?? "";
      return JSON.parse(script.dataset.encoding === "gzip" ? await inflated(fromBase64(text.trim())) : text);
    } catch {
      throw this.trouble(key, "broken");
    }
  }

  private trouble(key: string, kind: "missing" | "broken"): MissingDocument {
    const error = new MissingDocument(key, kind);
    error.message = this.words(error);
    return error;
  }

  /** A page holds one moment; the others of its run are not there to go to. */
  private withOneMoment(overview: Overview): Overview {
    const shown = overview.moments.find((moment) => moment.id === "best") ?? overview.moments.findLast((moment) => moment.is_checkpoint);
    return { ...overview, moments: shown ? [shown] : [], pinned: overview.pinned.slice(0, 1) };
  }

  private cut(key: string, tile: Tile, query: Record<string, string>): object {
    let whole = this.whole.get(key);
    if (!whole) {
      whole = {
        mean: unpack(tile.mean),
        low: tile.low && unpack(tile.low),
        high: tile.high && unpack(tile.high),
        biases: tile.biases && unpack(tile.biases),
      };
      this.whole.set(key, whole);
    }
    if (!query.rows || !query.cols) return { ...tile, ...whole };
    const rows = outward(query.rows, tile.rows, tile.cell[0]);
    const cols = outward(query.cols, tile.cols, tile.cell[1]);
    const part = (of: Tensor) => sliced(of, tile, rows, cols);
    const biases = whole.biases && {
      shape: [rows[1] - rows[0]],
      values: whole.biases.values.subarray(rows[0] - tile.rows[0], rows[1] - tile.rows[0]),
    };
    return { ...tile, rows, cols, mean: part(whole.mean), low: whole.low && part(whole.low), high: whole.high && part(whole.high), biases };
  }
}

interface Whole {
  mean: Tensor;
  low: Tensor | null;
  high: Tensor | null;
  biases: Tensor | null;
}

/** "a:b" widened to whole cells, within what there is. */
export function outward(text: string, [least, most]: [number, number], cell: number): [number, number] {
  const [from = least, to = most] = text.split(":").map(Number);
  const start = Math.max(least, least + Math.floor((from - least) / cell) * cell);
  return [start, Math.max(start, Math.min(most, least + Math.ceil((to - least) / cell) * cell))];
}

function sliced(of: Tensor, tile: Pick<Tile, "rows" | "cols" | "cell">, rows: [number, number], cols: [number, number]): Tensor {
  const width = of.shape[1] ?? 1;
  const [top, left] = [(rows[0] - tile.rows[0]) / tile.cell[0], (cols[0] - tile.cols[0]) / tile.cell[1]];
  const shape = [Math.ceil((rows[1] - rows[0]) / tile.cell[0]), Math.ceil((cols[1] - cols[0]) / tile.cell[1])];
  const [height = 0, across = 0] = shape;
  const values = new Float32Array(height * across);
  for (let r = 0; r < height; r++) values.set(of.values.subarray((top + r) * width + left, (top + r) * width + left + across), r * across);
  return { shape, values };
}

async function inflated(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const stream = new Response(bytes).body!.pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

/** Numbers that came packed, or that a page has unpacked already. */
export function tensor(of: Packed | Tensor): Tensor {
  return "values" in of ? of : unpack(of);
}
