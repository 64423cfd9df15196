import assert from "node:assert/strict";
import { test } from "node:test";
import { AnaxError, errorOf, specOf } from "./errors.ts";
import { createLog } from "./log.ts";
import { exactBytes, exactDuration, formatBytes, formatDuration, parseBytes, parseBytesPerSecond, parseDurationMs } from "./units.ts";

test("sizes, rates and durations are read with their units", () => {
  const sizes: readonly [string, number | undefined][] = [
    ["4096", 4096],
    ["4MiB", 4 * 1024 ** 2],
    ["1.5 GB", 1.5e9],
    ["4 elephants", undefined],
    ["-1", undefined],
  ];
  for (const [text, bytes] of sizes) assert.equal(parseBytes(text), bytes, text);
  const rates: readonly [string, number | undefined][] = [
    ["0", 0],
    ["100MiB/s", 100 * 1024 ** 2],
    ["50 MB", 50e6],
    ["800Mbit/s", 100e6],
    ["2.5 Gbit / s", 312_500_000],
    ["64kbit", 8000],
    ["10 bits", undefined],
    ["MiB/s", undefined],
    ["fast", undefined],
  ];
  for (const [text, bytesPerSecond] of rates) assert.equal(parseBytesPerSecond(text), bytesPerSecond, text);
  const durations: readonly [string, number | undefined][] = [
    ["30", 30_000],
    ["250ms", 250],
    ["1h30m", 5_400_000],
    ["soon", undefined],
  ];
  for (const [text, ms] of durations) assert.equal(parseDurationMs(text), ms, text);
});

test("sizes and durations are shown so that they are read as they were", () => {
  const sizes = [0, 1023, 1536, 1024, 10 * 1024 ** 3, 1024 ** 4 + 1];
  assert.deepEqual(sizes.map(exactBytes), ["0", "1023", "1536", "1KiB", "10GiB", "1099511627777"]);
  for (const bytes of sizes) assert.equal(parseBytes(exactBytes(bytes)), bytes);
  const durations = [0, 12, 1500, 90_000, 120_000, 172_800_000];
  assert.deepEqual(durations.map(exactDuration), ["0", "12ms", "1500ms", "90s", "2m", "48h"]);
  for (const ms of durations) assert.equal(parseDurationMs(exactDuration(ms)), ms);
});

test("sizes and durations are shown short", () => {
  assert.deepEqual([0, 1023, 1536, 268_435_456].map(formatBytes), ["0 B", "1023 B", "1.50 KiB", "256 MiB"]);
  assert.deepEqual([12, 2345, 65_000, 3_900_000].map(formatDuration), ["12 ms", "2.3 s", "1m 05s", "1h 05m"]);
});

test("a system error gets the code a person can act on", () => {
  const full = Object.assign(new Error("ENOSPC: no space left"), { code: "ENOSPC" });
  assert.equal(errorOf(full).code, "disk.full");
  assert.equal(specOf(errorOf(full)).exit, 7);
  assert.equal(errorOf(new TypeError("bug")).code, "internal");
  assert.equal(
    new AnaxError("source.not-found", { url: "http://x/", tried: undefined }).message,
    "the source does not have this content (url=http://x/)",
  );
});

test("a log line is an event with fields, and never shows a secret", () => {
  const lines: string[] = [];
  const log = createLog("info", { write: (line: string) => void lines.push(line) });
  log.child({ taskId: "t" }).warn("piece.rejected", { reason: "crc", headers: { authorization: "Bearer x" } });
  log.debug("not.shown");
  assert.equal(lines.length, 1);
  const line = JSON.parse(lines[0]!) as Record<string, unknown>; // one line was just counted
  assert.equal(line["event"], "piece.rejected");
  assert.equal(line["taskId"], "t");
  assert.deepEqual(line["headers"], { authorization: "[secret]" });
});
