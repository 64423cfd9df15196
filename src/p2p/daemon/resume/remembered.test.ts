import assert from "node:assert/strict";
import { test } from "node:test";
import { aDownload } from "../../../../test/kit/daemon.ts";
import { taskIdOfRequest } from "../task-meta.ts";
import type { DownloadRequest } from "../types.ts";
import { Remembered, rememberedOf, requestOfRemembered } from "./remembered.ts";

const NOW_MS = 1_700_000_000_000;
const kept = (request: DownloadRequest) => rememberedOf(taskIdOfRequest(request), request, NOW_MS + request.timeoutMs);

test("what is not secret is remembered as it was asked for", () => {
  const request = aDownload("https://origin/a?version=2", {
    digest: `sha256:${"ab".repeat(32)}`,
    tag: "t",
    application: "a",
    requestHeader: { Accept: "*/*" },
    pieceLength: 4 << 20,
    priority: 3,
    objectStorage: { region: "eu", endpoint: "https://s3" },
  });
  const entry = Remembered.parse(JSON.parse(JSON.stringify(kept({ ...request, needBackToSource: true }))));
  const again = requestOfRemembered(entry, NOW_MS + 1000);
  assert.deepEqual(JSON.parse(JSON.stringify(again)), JSON.parse(JSON.stringify({ ...request, timeoutMs: request.timeoutMs - 1000 })));
  assert.equal(taskIdOfRequest(again), entry.taskId);
});

test("no secret is remembered, and without it only peers are asked", () => {
  const secrets: readonly [string, DownloadRequest][] = [
    ["an Authorization header", aDownload("https://origin/a", { requestHeader: { Authorization: "Bearer hush" } })],
    ["a cookie", aDownload("https://origin/a", { requestHeader: { cookie: "id=hush" } })],
    ["a header of its own kind", aDownload("https://origin/a", { requestHeader: { "X-Artifact-Api": "hush" } })],
    ["a password in the URL", aDownload("https://me:hush@origin/a")],
    ["a signed URL", aDownload("https://origin/a?X-Amz-Signature=hush&X-Amz-Expires=1")],
    ["a filtered parameter", aDownload("https://origin/a?x=hush&version=2", { filteredQueryParams: ["x"] })],
    ["a key of an object store", aDownload("s3://bucket/a", { objectStorage: { accessKeyId: "hush", accessKeySecret: "hush" } })],
    ["a session token", aDownload("s3://bucket/a", { objectStorage: { sessionToken: "hush" } })],
  ];
  for (const [what, request] of secrets) {
    const entry = kept(request);
    assert.doesNotMatch(JSON.stringify(entry), /hush/, what);
    assert.equal(entry.disableBackToSource, true, what);
  }
});

test("what is left of a URL with filtered parameters names the same task", () => {
  const request = aDownload("https://origin/a?x=1&version=2", { filteredQueryParams: ["x"] });
  assert.equal(taskIdOfRequest(requestOfRemembered(kept(request), NOW_MS)), taskIdOfRequest(request));
});
