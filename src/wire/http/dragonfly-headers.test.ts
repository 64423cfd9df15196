import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDragonflyRequest, type DragonflyRequest } from "./dragonfly-headers.ts";
import { parsePieceLength } from "./piece-length.ts";

const SILENT: DragonflyRequest = {
  tag: undefined,
  application: undefined,
  priority: undefined,
  registry: undefined,
  filteredQueryParams: undefined,
  useP2p: false,
  prefetch: undefined,
  outputPath: undefined,
  forceHardLink: false,
  pieceLength: undefined,
  contentForTaskId: undefined,
  blobDigestTaskId: undefined,
};

test("Dragonfly's request headers are read one by one", () => {
  const table: readonly (readonly [string, string, Partial<DragonflyRequest>])[] = [
    ["accept", "*/*", {}],
    ["x-dragonfly-tag", "t", { tag: "t" }],
    ["x-dragonfly-application", "a", { application: "a" }],
    ["x-dragonfly-priority", "3", { priority: 3 }],
    ["x-dragonfly-priority", "7", {}],
    ["x-dragonfly-priority", "high", {}],
    ["x-dragonfly-registry", "https://r.example", { registry: "https://r.example" }],
    ["x-dragonfly-filtered-query-params", "Signature, Expires,ns", { filteredQueryParams: ["Signature", "Expires", "ns"] }],
    ["x-dragonfly-use-p2p", "TRUE", { useP2p: true }],
    ["x-dragonfly-use-p2p", "1", {}],
    ["x-dragonfly-prefetch", "true", { prefetch: true }],
    ["x-dragonfly-prefetch", "no", { prefetch: false }],
    ["x-dragonfly-output-path", "/tmp/a", { outputPath: "/tmp/a" }],
    ["x-dragonfly-force-hard-link", "true", { forceHardLink: true }],
    ["x-dragonfly-piece-length", "4mib", { pieceLength: 4_194_304 }],
    ["x-dragonfly-piece-length", "big", {}],
    ["x-dragonfly-content-for-calculating-task-id", "c", { contentForTaskId: "c" }],
    ["x-dragonfly-enable-task-id-based-blob-digest", "false", { blobDigestTaskId: false }],
  ];
  for (const [name, value, expected] of table) {
    assert.deepEqual(parseDragonflyRequest({ [name]: value }), { ...SILENT, ...expected }, `${name}: ${value}`);
  }
});

test("piece lengths mean what upstream's parser makes of them", () => {
  const table = [
    ["4mib", 4_194_304],
    ["1gib", 1_073_741_824],
    ["4 MiB", 4_194_304],
    ["1.5Gi", 1_610_612_736],
    ["4MB", 4_000_000],
    ["4m", 4_000_000],
    ["12345", 12_345],
    ["7b", 7],
    ["0", 0],
    ["", undefined],
    ["-1", undefined],
    ["4x", undefined],
    ["4i", undefined],
    ["4.", undefined],
    ["1.5", undefined],
    ["1e3", undefined],
    [" 4mib", undefined],
    ["4KiB ", undefined],
    ["99999999999p", undefined],
  ] as const;
  for (const [text, bytes] of table) assert.equal(parsePieceLength(text), bytes, text);
});
