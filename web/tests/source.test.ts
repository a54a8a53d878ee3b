import { afterEach, describe, expect, it, vi } from "vitest";
import { ApiError } from "../src/api";
import { connection } from "../src/connection.svelte";
import { HttpSource } from "../src/httpSource";

const answer = (status: number, body: unknown, headers: Record<string, string> = {}) => new Response(JSON.stringify(body), { status, headers });
const ask = () => vi.spyOn(globalThis, "fetch");

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("documents from the server", () => {
  it("are asked for by key and query, names encoded", async () => {
    const fetched = ask().mockResolvedValue(answer(200, { layers: 3 }));
    const source = new HttpSource("a b");
    expect(await source.get("attention/3", { at: "best", image: "sample:01" })).toEqual({ layers: 3 });
    expect(fetched.mock.calls[0]![0]).toBe("/api/runs/a%20b/inside/attention/3?at=best&image=sample%3A01");
    expect(source.thumbnail("sample:01")).toBe("/api/runs/a%20b/images/sample%3A01?side=96");
  });

  it("are asked for again when the server says so, and not after they were given up", async () => {
    vi.useFakeTimers();
    const fetched = ask().mockResolvedValueOnce(answer(429, { error: "busy" }, { "Retry-After": "2" })).mockResolvedValueOnce(answer(200, { ok: true }));
    const got = new HttpSource("r").get("overview");
    await vi.advanceTimersByTimeAsync(1900);
    expect(fetched).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(await got).toEqual({ ok: true });

    fetched.mockReset().mockResolvedValue(answer(429, { error: "busy" }));
    const given = new AbortController();
    const lost = expect(new HttpSource("r").get("overview", {}, given.signal)).rejects.toBeDefined();
    await vi.advanceTimersByTimeAsync(10);
    given.abort();
    await lost;
    expect(fetched).toHaveBeenCalledTimes(1);
  });

  it("that are not there come with the server's words", async () => {
    ask().mockImplementation(async () => answer(409, { error: "No weights yet." }));
    await expect(new HttpSource("r").get("overview")).rejects.toMatchObject({ status: 409, message: "No weights yet." });
  });
});

describe("the connection", () => {
  it("is lost without an answer, back with one, and refused with 401", async () => {
    vi.useFakeTimers();
    let isThere = false;
    let status = 200;
    const fetched = ask().mockImplementation(async () => {
      if (!isThere) throw new TypeError("Failed to fetch");
      return answer(status, {});
    });
    const source = new HttpSource("r");
    connection.probeWith(() => source.get("overview"));
    await expect(source.get("overview")).rejects.toBeInstanceOf(ApiError);
    expect(connection.state).toBe("offline");
    const before = fetched.mock.calls.length;
    await vi.advanceTimersByTimeAsync(20_000);
    expect(fetched.mock.calls.length).toBeGreaterThan(before + 2);
    const returns = connection.returns;
    isThere = true;
    await vi.advanceTimersByTimeAsync(20_000);
    expect(connection.state).toBe("ok");
    expect(connection.returns).toBe(returns + 1);
    const calls = fetched.mock.calls.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(fetched.mock.calls.length).toBe(calls);
    status = 401;
    await expect(source.get("overview")).rejects.toMatchObject({ status: 401 });
    expect(connection.state).toBe("unauthorised");
  });
});
