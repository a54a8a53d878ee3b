/** Requests to the server, and the shapes of its answers. See docs/dashboard.md for the interface. */
import { connection } from "./connection.svelte";

export type Status = "created" | "running" | "interrupted" | "finished" | "failed";
/** A number as JSON can hold it: NaN and the infinities are texts. */
export type WireNumber = number | "NaN" | "Infinity" | "-Infinity" | null;

export interface Session {
  version: string;
  read_only: boolean;
  workspace: string;
  /** A command line on this workspace begins so. */
  command: string;
  host_cores: number;
}

/** A row of the list. Times are ISO 8601, accuracies 0–1; what is not known is null. */
export interface RunSummary {
  id: string;
  name: string;
  status: Status;
  source: string;
  model: string;
  created_at: string;
  updated_at: string;
  started_at?: string | null;
  epochs: number | null;
  step: number;
  total_steps: number | null;
  progress: number | null;
  eta_s?: number | null;
  images_per_s?: number | null;
  best_val_top1: number | null;
  test_top1: number | null;
  message: string;
  parent: string | null;
  is_job?: boolean;
  deleted_at?: string | null;
}

export interface Attempt {
  attempt: number;
  from_step: number;
  status: Status;
  started_at: string;
  ended_at: string | null;
  host: string;
  pid: number;
}

export interface Notice {
  time: string | number;
  step: number | null;
  level: "info" | "warning" | "error";
  text: string;
  alert?: string | null; // of what kind, where it is one
}

export interface Checkpoint {
  name: string;
  step: number;
  is_best: boolean;
  is_last: boolean;
  size_bytes: number;
}

export type Value = string | number | boolean | null | Value[] | { [name: string]: Value };
export type Mapping = { [name: string]: Value };

export interface RunDetail extends RunSummary {
  folder: string;
  resume: string | null;
  attempts: Attempt[];
  metrics: { split: string; name: string; value: WireNumber; step: number; epoch: WireNumber }[];
  checkpoints: Checkpoint[];
  files: { path: string; size_bytes: number }[];
  notices: Notice[];
  config: Mapping | null;
  requested: Mapping | null;
}

export interface WireSeries {
  step: number[];
  epoch: WireNumber[];
  time: number[]; // Unix seconds
  value: WireNumber[];
  low?: WireNumber[];
  high?: WireNumber[];
  count?: number;
  is_exact?: boolean;
  /** Steps of which what is known is to be dropped first: an attempt recorded them anew. */
  replaces?: number[];
}

export interface SeriesAnswer {
  cursor: string;
  axis: string;
  series: Record<string, WireSeries>;
  attempts: { attempt: number; from_step: number; started_at: string | number }[];
  notices: Notice[];
}

export interface Recipe {
  name: string;
  help: string;
  options: Mapping; // nested by group
}

export interface Options {
  schema: Mapping;
  recipes: Recipe[];
  sources: { name: string; kind: "builtin" | "imported"; count: number | null }[];
}

/** What went wrong, in the server's words. `status` 0: no answer. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly retryAfterS: number | null = null,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

export function apiUrl(path: string, query: Record<string, string | number | string[] | null | undefined> = {}): string {
  const url = new URL(`api/${path}`, document.querySelector("base") ? document.baseURI : location.origin + "/");
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value ?? null]) if (each !== null) url.searchParams.append(name, String(each));
  }
  return url.pathname + url.search;
}

/** The JSON that answers. Raises `ApiError`; an abort stays an abort. */
export async function request<T>(method: string, url: string, { body, signal }: { body?: unknown; signal?: AbortSignal } = {}): Promise<T> {
  const raw = body instanceof Blob;
  const init: RequestInit = { method, headers: { Accept: "application/json" } };
  if (signal) init.signal = signal;
  if (body !== undefined) {
    init.body = raw ? body : JSON.stringify(body);
    init.headers = { Accept: "application/json", "Content-Type": raw ? body.type || "application/octet-stream" : "application/json" };
  }
  let answer: Response;
  try {
    answer = await fetch(url, init);
  } catch (error) {
    if (signal?.aborted) throw error;
    connection.lost();
    throw new ApiError(0, "");
  }
  connection.answered(answer.status);
  const content: unknown = await answer.json().catch(() => null);
  if (answer.ok) return content as T;
  const told = typeof content === "object" && content !== null && "error" in content ? String(content.error) : `${answer.status} ${answer.statusText}`;
  throw new ApiError(answer.status, told, Number(answer.headers.get("Retry-After")) || null);
}

const id = encodeURIComponent;

export const api = {
  session: (signal?: AbortSignal) => request<Session>("GET", apiUrl("session"), { signal }),
  runs: (deleted = false, signal?: AbortSignal) =>
    request<{ runs: RunSummary[]; cursor: string }>("GET", apiUrl("runs", { deleted: deleted ? 1 : null }), { signal }),
  sparklines: (ids: string[]) =>
    request<Record<string, { epoch: WireNumber[]; top1: WireNumber[] }>>("GET", apiUrl("runs/sparklines", { ids: ids.join(",") })),
  run: (run: string, signal?: AbortSignal) => request<RunDetail>("GET", apiUrl(`runs/${id(run)}`), { signal }),
  remove: (run: string) => request<unknown>("DELETE", apiUrl(`runs/${id(run)}`)),
  restore: (run: string) => request<unknown>("POST", apiUrl(`runs/${id(run)}/restore`)),
  stop: (run: string) => request<unknown>("POST", apiUrl(`runs/${id(run)}/stop`)),
  resume: (run: string) => request<unknown>("POST", apiUrl(`runs/${id(run)}/resume`)),
  log: (run: string, signal?: AbortSignal) => request<{ text: string; status: string }>("GET", apiUrl(`jobs/${id(run)}/log`), { signal }),
  options: (signal?: AbortSignal) => request<Options>("GET", apiUrl("options"), { signal }),
  /** Known to the process beside the server alone: the first who asks waits for that to begin. */
  models: (signal?: AbortSignal) => request<{ models: { name: string; family: string }[] }>("GET", apiUrl("models"), { signal }),
  start: (asked: { source: string; recipe: string | null; name: string | null; options: Mapping }) =>
    request<{ id: string }>("POST", apiUrl("runs"), { body: asked }),
  series: (run: string, query: { points?: number; from?: number; to?: number; axis?: string; names?: string[] }, signal?: AbortSignal) =>
    request<SeriesAnswer>("GET", apiUrl(`runs/${id(run)}/series`, query), { signal }),
  seriesCsv: (run: string, names: string[]) => apiUrl(`runs/${id(run)}/series.csv`, { names }),
};

/** A wire number as a number; null is NaN. */
export function toNumber(value: WireNumber | undefined): number {
  return value === null || value === undefined ? NaN : Number(value);
}
