/** Documents: what Inside draws, the same from a server and from the page itself. See docs/dashboard.md. */

export interface Packed {
  dtype: "float16" | "float32" | "uint8" | "int32";
  shape: number[];
  data: string; // base64, little endian, C order
}

/** An unpacked array. `values` is flat, in C order. */
export interface Tensor {
  shape: number[];
  values: Float32Array | Uint8Array | Int32Array;
}

/** Where documents come from. */
export interface DocumentSource {
  get<T>(key: string, query?: Record<string, string>, signal?: AbortSignal): Promise<T>;
  /** Pictures to choose from; missing where there are only those in the page. */
  images?(split: string, offset: number, limit: number): Promise<{ total: number; images: ImageRef[]; splits: Record<string, number> }>;
  upload?(file: Blob): Promise<{ id: string }>;
  thumbnail?(id: string): string;
}

export interface ImageRef {
  id: string;
  label: string | null;
  split?: string;
}

export function isPacked(value: unknown): value is Packed {
  return typeof value === "object" && value !== null && "dtype" in value && "data" in value && "shape" in value;
}

export function unpack(packed: Packed): Tensor {
  const bytes = fromBase64(packed.data);
  const { buffer } = bytes;
  switch (packed.dtype) {
    case "float32":
      return { shape: packed.shape, values: new Float32Array(buffer) };
    case "uint8":
      return { shape: packed.shape, values: bytes };
    case "int32":
      return { shape: packed.shape, values: new Int32Array(buffer) };
    case "float16":
      return { shape: packed.shape, values: halfToFloat(new Uint16Array(buffer)) };
  }
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const native = Uint8Array as unknown as { fromBase64?(text: string): Uint8Array<ArrayBuffer> };
  if (native.fromBase64) return native.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** Every half-precision number there is, as a float: a table makes a large map a matter of milliseconds. */
let halves: Float32Array | null = null;

function halfToFloat(bits: Uint16Array): Float32Array {
  halves ??= Float32Array.from({ length: 65536 }, (_, i) => half(i));
  const out = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = halves[bits[i]!]!;
  return out;
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
