/** Documents of one run, from the server. */
import { ApiError, apiUrl, request } from "./api";
import type { DocumentSource, ImageRef } from "./documents";

const LONGEST_WAIT_S = 10;

export class HttpSource implements DocumentSource {
  private readonly root: string;

  constructor(run: string) {
    this.root = `runs/${encodeURIComponent(run)}`;
  }

  /** A server that computes for others says when to ask again; it is asked again then, until the signal ends it. */
  async get<T>(key: string, query: Record<string, string> = {}, signal?: AbortSignal): Promise<T> {
    const url = apiUrl(`${this.root}/inside/${key}`, query);
    for (;;) {
      try {
        return await request<T>("GET", url, signal ? { signal } : {});
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 429) throw error;
        await pause(Math.min(LONGEST_WAIT_S, error.retryAfterS ?? 1) * 1000, signal);
      }
    }
  }

  images(split: string, offset: number, limit: number) {
    return request<{ total: number; images: ImageRef[]; splits: Record<string, number> }>(
      "GET",
      apiUrl(`${this.root}/images`, { split, offset, limit }),
    );
  }

  upload(file: Blob) {
    return request<{ id: string; width: number; height: number }>("POST", apiUrl("images"), { body: file });
  }

  thumbnail(id: string): string {
    return apiUrl(`${this.root}/images/${encodeURIComponent(id)}`, { side: 96 });
  }
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    });
  });
}
