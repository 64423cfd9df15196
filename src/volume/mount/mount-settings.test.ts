import assert from "node:assert/strict";
import { test } from "node:test";
import { AnaxError } from "../../base/errors.ts";
import { parseMountOptions } from "./mount-settings.ts";

test("mount options are read as fstab has them", () => {
  const settings = parseMountOptions(
    "defaults,nofail,_netdev,x-systemd.automount,ro,noexec,attr_timeout=5,entry_timeout=250ms,on_gone=poison,rw,cache_dir=/fast/disk,peer_wait=2s,status=9004",
  );
  assert.deepEqual(
    {
      readOnly: settings.readOnly,
      kernel: settings.kernel,
      attrMs: settings.attrMs,
      entryMs: settings.entryMs,
      onGone: settings.onGone,
      operationTimeoutMs: settings.operationTimeoutMs,
      cacheDir: settings.cacheDir,
      status: settings.status,
      peerWaitMs: settings.peerWaitMs,
    },
    {
      readOnly: false,
      kernel: ["noexec"],
      attrMs: 5000,
      entryMs: 250,
      onGone: "poison",
      operationTimeoutMs: 30_000,
      cacheDir: "/fast/disk",
      status: "9004",
      peerWaitMs: 2000,
    },
  );
});

test("an option that is none, or means nothing, is refused", () => {
  for (const text of [
    "atr_timeout=1",
    "on_gone=maybe",
    "attr_timeout=",
    "attr_timeout=soon",
    "hang_timeout=1s",
    "attr_timeout=99999d",
    "fd=3",
    "cache_dir=somewhere",
  ])
    assert.throws(
      () => parseMountOptions(text),
      (error) => error instanceof AnaxError && error.code === "input.invalid",
      text,
    );
});
