import assert from "node:assert/strict";
import { test } from "node:test";
import type { Attributes } from "../meta/verbs.ts";
import { KnownNodes } from "./known-nodes.ts";

const FILE: Attributes = {
  ino: 7,
  kind: "file",
  mode: 0o100644,
  uid: 0,
  gid: 0,
  rdev: 0,
  nlink: 1,
  size: 10,
  blocks: 1,
  atimeSec: 0,
  atimeNsec: 0,
  mtimeSec: 1,
  mtimeNsec: 2,
  ctimeSec: 1,
  ctimeNsec: 2,
};
const LATER: Attributes = { ...FILE, mtimeNsec: 3 };

test("a node is known until all of its lookups are forgotten", () => {
  const known = new KnownNodes();
  known.entered(FILE);
  known.entered(FILE);
  known.forget(7, 1);
  assert.equal(known.count, 1);
  known.forget(7, 1);
  known.forget(7, 1);
  assert.equal(known.count, 0);
});

test("cached content is kept as long as nobody else has changed the file", () => {
  const known = new KnownNodes();
  assert.equal(known.isCurrent(FILE), false, "never seen");
  known.entered(FILE);
  assert.equal(known.isCurrent(FILE), true);
  assert.equal(known.isCurrent(LATER), false);
  assert.equal(known.isCurrent(LATER), true, "dropped once, and right since");
  known.changed(7);
  assert.equal(known.isCurrent({ ...LATER, size: 11 }), true, "changed through this mount");
  known.outdated(7);
  assert.equal(known.isCurrent({ ...LATER, size: 11 }), false);
});
