import assert from "node:assert/strict";
import { test } from "node:test";
import { connectionOf, mountAt, mountTable, parseMountInfo } from "./mount-table.ts";

const TEXT = `24 30 0:22 / /proc rw,relatime shared:5 - proc proc rw
97 30 0:61 / /mnt/with\\040space rw,nosuid,nodev,relatime shared:5 master:2 - fuse.anax anax:photos rw,user_id=0
98 30 0:62 / /mnt/plain rw - fuse.anax anax:old rw
99 98 0:63 / /mnt/plain ro - fuse.anax anax:new rw

truncated line
`;

test("mounts are read with optional fields, escaped names, and what covers what", () => {
  const table = parseMountInfo(TEXT);
  assert.equal(table.length, 4);
  const spaced = mountAt("/mnt/with space", table);
  assert.deepEqual(spaced, {
    path: "/mnt/with space",
    type: "fuse.anax",
    source: "anax:photos",
    device: "0:61",
    options: "rw,nosuid,nodev,relatime",
  });
  assert.equal(connectionOf(spaced), 61);
  assert.equal(mountAt("/mnt/plain", table)?.source, "anax:new");
  assert.equal(mountAt("/mnt", table), undefined);
});

test("this machine's own table has its root", () => {
  assert.notEqual(mountAt("/", mountTable()), undefined);
});
