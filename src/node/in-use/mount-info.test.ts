import assert from "node:assert/strict";
import { test } from "node:test";
import { mountedIn, parseMountInfo, placeOf, type Mount } from "./mount-info.ts";

const LINE = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";

const TEXTS: readonly [title: string, text: string, expected: readonly Mount[]][] = [
  ["the line of proc(5)", LINE, [{ device: "98:0", root: "/mnt1", mountPoint: "/mnt2" }]],
  [
    "blanks and backslashes in names",
    "1 2 8:1 /a\\040b /c\\134d rw - ext4 /dev/sda1 rw",
    [{ device: "8:1", root: "/a b", mountPoint: "/c\\d" }],
  ],
  [
    "a name that looks like an escape of an escape",
    "1 2 8:1 /a\\134040 /m rw - x y",
    [{ device: "8:1", root: "/a\\040", mountPoint: "/m" }],
  ],
  ["an escape that is none stays", "1 2 8:1 /a\\9 /m rw - x y", [{ device: "8:1", root: "/a\\9", mountPoint: "/m" }]],
  [
    "a file system without a path of its own",
    "1 2 0:4 net:[4026531840] /run/netns/a rw - nsfs nsfs rw",
    [{ device: "0:4", root: "net:[4026531840]", mountPoint: "/run/netns/a" }],
  ],
  ["nothing", "", []],
  [
    "lines that make no sense are left out",
    `nonsense\n\n1 2 x:y / / rw\n1 2 8:1 /\n${LINE}\n`,
    [{ device: "98:0", root: "/mnt1", mountPoint: "/mnt2" }],
  ],
];
for (const [title, text, expected] of TEXTS) test(`mountinfo: ${title}`, () => assert.deepEqual(parseMountInfo(text), expected));

test("more mounts than any machine has are not all kept", () => {
  assert.equal(parseMountInfo(`${LINE}\n`.repeat(100_001)).length, 100_000);
});

const MOUNTS: readonly Mount[] = [
  { device: "8:1", root: "/", mountPoint: "/" },
  { device: "8:2", root: "/volumes/a", mountPoint: "/data" },
  { device: "8:3", root: "/", mountPoint: "/data/deep" },
  { device: "8:4", root: "/", mountPoint: "/over" },
  { device: "8:5", root: "/", mountPoint: "/over" },
];

const PLACES: readonly [path: string, device: string, inside: string][] = [
  ["/", "8:1", "/"],
  ["/var/lib", "8:1", "/var/lib"],
  ["/data", "8:2", "/volumes/a"],
  ["/data/x/y", "8:2", "/volumes/a/x/y"],
  ["/database", "8:1", "/database"],
  ["/data/deep", "8:3", "/"],
  ["/data/deep/z", "8:3", "/z"],
  ["/over/w", "8:5", "/w"],
];
for (const [path, device, inside] of PLACES)
  test(`${path} is ${inside} of ${device}`, () => assert.deepEqual(placeOf(path, MOUNTS), { device, path: inside }));

test("without mounts a path is nowhere", () => assert.equal(placeOf("/x", []), undefined));

test("files of a directory that are mounted by themselves are found wherever the directory itself is mounted", () => {
  const store = placeOf("/data/pieces", MOUNTS)!; // in the list
  const mounts: readonly Mount[] = [
    ...MOUNTS,
    { device: "8:2", root: "/volumes/a/pieces/tasks/abc/one", mountPoint: "/model" },
    { device: "8:2", root: "/volumes/a/pieces/tasks/abc/one", mountPoint: "/again" },
    { device: "8:2", root: "/volumes/a/pieces", mountPoint: "/all of it" },
    { device: "8:2", root: "/volumes/a/pieces-of-others/x", mountPoint: "/other" },
    { device: "8:1", root: "/volumes/a/pieces/tasks/abc/two", mountPoint: "/another disk" },
  ];
  assert.deepEqual(mountedIn(store, mounts), [
    { path: "tasks/abc/one", mountPoint: "/model" },
    { path: "tasks/abc/one", mountPoint: "/again" },
  ]);
});
