import assert from "node:assert/strict";
import { test } from "node:test";
import { AnaxError } from "../../base/errors.ts";
import {
  blobTaskIdOf,
  contentTaskIdOf,
  hostIdOf,
  parseHostId,
  parsePeerId,
  parseTaskId,
  peerIdOf,
  persistentCacheTaskIdOf,
  persistentTaskIdOf,
  taskIdOf,
  type TaskIdInput,
} from "./ids.ts";

const refuses = (run: () => unknown): void => assert.throws(run, (error) => error instanceof AnaxError && error.code === "input.invalid");

/** Inputs and results of the public client's own tests. */
const UPSTREAM: readonly (readonly [Omit<TaskIdInput, "url">, string])[] = [
  [
    { pieceLength: 1024, tag: "foo", application: "bar", revision: "v1.0" },
    "5844f27a257287e9b734256bb25603d8005422ced8c0377f15063ec11963b25f",
  ],
  [{ tag: "foo", application: "bar" }, "06408fbf247ddaca478f8cb9565fe5591c28efd0994b8fea80a6a87d3203c5ca"],
  [{ tag: "foo" }, "3c3f230ef9f191dd2821510346a7bc138e4894bee9aee184ba250a3040701d2a"],
  [{ application: "bar" }, "c9f9261b7305c24371244f9f149f5d4589ed601348fdf22d7f6f4b10658fdba2"],
  [{ pieceLength: 1024 }, "9f7c9aafbc6f30f8f41a96ca77eeae80c5b60964b3034b0ee43ccf7b2f9e52b8"],
  [{ revision: "v1.0" }, "b171331534b80e0bf91da38ebbfcdbf4d177898f4b9beac44f14733e3f004d4e"],
];

/** URL, filtered parameters and the task id, computed once with the crates of the public client (url 2.5.4, sha2) by the rule of its id generator. */
const URLS: readonly (readonly [string, readonly string[], string])[] = [
  ["https://example.com", [], "457b4328cde278e422c9e243f7bfd1e97f511fec43a80f535cf6b0ef6b086776"],
  ["https://example.com/", [], "457b4328cde278e422c9e243f7bfd1e97f511fec43a80f535cf6b0ef6b086776"],
  ["https://example.com//", [], "83428bf421fee9c2f4ec709e4e5dcaa8b08d184781c2fb3e6b803db2e0606090"],
  ["HTTPS://EXAMPLE.com:443/A/../b/", [], "d388d08add7fd1ef914b9cb7ccf3498d7e20e14764aa5ebf1f7a1fe6f8f00420"],
  ["http://example.com:80/x", [], "0bf6d8266524d7d8a8e738b363612ac0e22272d057f94bbd73f748a51cdbc05c"],
  ["http://example.com:8080", [], "d4d6420e93fad400f8cf249c90487c155822ead4ba4c81cf3ccf78e03fc9dd30"],
  ["https://example.com/?", [], "457b4328cde278e422c9e243f7bfd1e97f511fec43a80f535cf6b0ef6b086776"],
  ["https://example.com/a?", [], "c058b4454fdd8b341e618fe172efddeac19e1bb263022380725d72ed62285d61"],
  ["https://example.com/?a=1", ["a"], "457b4328cde278e422c9e243f7bfd1e97f511fec43a80f535cf6b0ef6b086776"],
  ["https://example.com/?a=1", [], "3fcf5703e74d955da85a442ec305c13163e496df369db49d790573b45f37396f"],
  ["https://example.com/#frag", [], "3125290957be5f1ed42c5a8ab04653a47355925e58d6d69ae6c4978c1dd4f62f"],
  ["https://example.com/#frag/", [], "3125290957be5f1ed42c5a8ab04653a47355925e58d6d69ae6c4978c1dd4f62f"],
  ["https://example.com/?a=1#/", ["a"], "c9bf5f18875f9cdda2bf269fabea666b61e0318431bc4961acbf4b68e4681516"],
  ["https://example.com/?a=/", [], "c1e61af046a1bf03e1799ac705943d7d5171ccc6e28ce570b548b4558e335c6d"],
  ["https://user:p%40ss@example.com/a", [], "bfe7b075ee0945913917d9ffe00b84237bdb20e40df1dd739b7ec5ae7cebc8bd"],
  ["https://example.com/a?b=1&b=2&a=3", ["a"], "059f85b6118f804ebcd36d154e4144035d198945cc853c3850693daae1c020ea"],
  ["https://example.com/a?q=x y&r=%7E*-._~!'()", [], "767fa28384f41cd7941eb42448513599a2fe6e969df437cd55e39a65e97740ee"],
  ["https://example.com/a?q=a+b&c=%20", [], "a877fed4cc71df8af9ba6da790fbef2cf3a4570c4e98fb24bca12e4c99f5c1cb"],
  ["https://example.com/a?k", [], "85d862428c31d3692a0ffbbb073f2378632435c66e4aaffca3f7f8ef2b5b2dc9"],
  ["https://example.com/a?&&=&k=", [], "9aba03030461eed20125809634f77491286613bda483b8f5fc5df5059d2acd81"],
  ["https://example.com/ü?ä=ö", [], "1513a3fd72588bef1684295a49173cfe73ef9f59bffd53ede52d59a95271afb0"],
  ["https://example.com/a?%61=1&b=2", ["a"], "7fcefb6bb903c180179449ce8a364bf6533bb6a6788aecd0eb79660a5f9b5a30"],
  ["https://example.com/a?q=%ff%C3%A4", [], "7069b797d77dfef94e458d0aaf28f6221e085d3cf0df0f518e353ae47515d47c"],
  ["https://bücher.example/x", [], "b35450a63005c3d4463fab458ca5eee52fd885b10131dc916dc59c1089a48d25"],
  [
    "https://example.com/a?X-Amz-Signature=s&X-Amz-Date=d&v=1",
    ["X-Amz-Signature", "X-Amz-Date"],
    "28d97eb8cc259037536345ce3b2b2af35b21ef6b1b80dfa5a85cc5900c91e186",
  ],
  ["s3://bucket/key?versionId=1", [], "db5d2a6a5da6dfba2fb2e8dbd7176a93ebcc25f89b9ec55216bd02b6808a1d64"],
  ["s3://bucket/", [], "2c7aa18ba9a4c072a381a145be24372c42f18175d8a359a435a2c3d581db1b8f"],
  ["s3://bucket", [], "2c7aa18ba9a4c072a381a145be24372c42f18175d8a359a435a2c3d581db1b8f"],
  ["file:///tmp/a b", [], "29bc5baabbd2e08d6eb7030166b2395ad6c1b75a009002b6bec9f68b73d1c500"],
  ["file:///", [], "e8cb916c942413c3088279060add63e23c57bb7e84093a4659a75113368a3e79"],
  ["hdfs://h:8020/d/f", [], "6260aec12c4f446bd7a2b74c27f2401fa038ed26ab5e5fcf2bf95f947652e0d3"],
  ["https://[2001:DB8::1]:443/a", [], "ec3b8fd0c55ebd8d5ada946b7f38ada683e97b09ccb33d9028ff93478e963d67"],
  ["https://example.com/a%2fb%7e?c=%2F", [], "2c6ea74f6e87272c1eaa491dfe914d835910234b1fbede4556fc4883fa792c59"],
  ["https://example.com/a|b^c?x=|^", [], "d05cdc451f763eab62520b8a72be15ef98487b158b22035ef4b96caeb27614cf"],
  ["oss://b/k?x=a%20b", ["y"], "2dd48849f8514ee205beccfb7712df441a6009e2c2e355d630dc60eba7f96ab8"],
  ["https://example.com/a?a=1;b=2", [], "b3370692c7ed22e7c9e970a3eb0a7da7e5bf970f5c4163f13c04996075c09dfe"],
  ["  https://example.com/a ", [], "c058b4454fdd8b341e618fe172efddeac19e1bb263022380725d72ed62285d61"],
  ["https://example.com/a?q=😀", [], "52606868df0d0f15ce3fda0c87c7122f89e322e88e1f6a715093526401c7418c"],
  ["https://0x7f.1/x", [], "79938b2042cf82661e4a4ba348cd7210619a1314528ca3f14973624a86b53601"],
  ["hf://owner/repo/file", [], "c486e1cad4e69bc511d993f000df6403a80bfbe3de2114ac2bedd6b662544897"],
  ["https://example.com/a?x=1&", [], "0ba031f34ef8c4dc07d78c527238f0f68c8bc63e551b341055c19ad281e41542"],
  ["https://example.com/a'b\"c?d='\"", [], "5ab09a8eb75ea9fa3cfeb3f8f6fea13560061d0b232f618d3e39d57ea468d04e"],
  ["https://example.com/?a=1#f", [], "05ab47d6dd45fa68aa8bf60a5b605502938363bd44bf98f0971ee17f79393ef7"],
  ["https://example.com?#", [], "c9bf5f18875f9cdda2bf269fabea666b61e0318431bc4961acbf4b68e4681516"],
  ["https://example.com/a?#", [], "58b418aa1a0f6ef70298d20271c49eedf806af56f2274696136cd099a09f98d6"],
  ["https://example.com/a#", [], "58b418aa1a0f6ef70298d20271c49eedf806af56f2274696136cd099a09f98d6"],
  ["https://example.com/#", [], "c9bf5f18875f9cdda2bf269fabea666b61e0318431bc4961acbf4b68e4681516"],
  ["s3://b/k k?z z#f f", [], "825f478e7b1bad319f2c5831a914777fb71b1c9b3ee3c9f52ad167a4d944b21c"],
  ["s3://b?x=1", ["x"], "d56ac34c1b3bd8369239671c593407fa59510586a7ee0681d8f8a82c8f8a92d0"],
  ["s3://b?x=1", [], "80f0ce07bd453ec36b620a64c8b43bb044c9f83e26c8f12bd760806cf3b6f070"],
];

const HEX = "1234567890abcdef".repeat(4);
const BLOBS: readonly (readonly [string, string | undefined])[] = [
  [`https://registry.example.com/v2/myorg/myrepo/blobs/sha256:${HEX}`, HEX],
  [`http://localhost:5000/v2/a/b/c/blobs/sha256:${HEX}?ns=docker.io`, HEX],
  [`/v2/library/alpine/blobs/sha256:${HEX}`, HEX],
  [`sha256:${HEX}`, HEX],
  [`https://r.example/v2/a/blobs/sha512:${HEX}${HEX}`, undefined],
  [`https://r.example/v2/a/blobs/sha256:${HEX}0`, undefined],
  [`https://r.example/v2/a/blobs/sha256:${HEX}/x`, undefined],
  [`https://r.example/v2/a/blobs/sha256:${HEX.toUpperCase()}`, undefined],
  [`https://r.example/v2/blobs/sha256:${HEX}`, undefined],
  [`https://r.example/v2/a/manifests/sha256:${HEX}`, undefined],
  [`https://r.example/blobs/sha256:${HEX}`, undefined],
  [`https://r.example/?x=/v2/a/blobs/sha256:${HEX}`, undefined],
  ["", undefined],
];

test("task ids equal upstream's for every mix of parts", () => {
  for (const [parts, id] of UPSTREAM) assert.equal(taskIdOf({ url: "https://example.com", ...parts }), id, JSON.stringify(parts));
});

test("a URL enters the task id as upstream writes it", () => {
  for (const [url, filteredQueryParams, id] of URLS) assert.equal(taskIdOf({ url, filteredQueryParams }), id, url);
});

test("what is no URL has no task id", () => {
  for (const url of ["", "not a url", "/path", "http://"]) refuses(() => taskIdOf({ url }));
});

test("a sha256 blob is named by its digest, anything else is not", () => {
  for (const [text, id] of BLOBS) assert.equal(blobTaskIdOf(text), id, text);
});

test("the other kinds of task ids equal upstream's", async () => {
  assert.equal(contentTaskIdOf("This is a test file"), "e2d0fe1585a63ec6009c8016ff8dda8b17719a637405a4e23c0ff81339148249");
  const object = { url: "my-object-key", region: "us-west-1", endpoint: "https://s3.us-west-1.amazonaws.com" };
  assert.equal(persistentTaskIdOf(object), "b51f4f44921bb585277a5cbac13e7f6e2858238e98546f3ee6bfeb56369979c0");
  const cached = [
    [{ pieceLength: 1024, tag: "tag1", application: "app1" }, "7160a071a9acea5ac341e770c14d0211c38a4b15b3bbe2c5f848a706fd47419e"],
    [{ application: "app1" }, "0d0f8536f51227fda07141308f5ae8149b561b51b61c6517125f25dfa27acf5b"],
    [{ tag: "tag1" }, "a98b76813681e30cf83733fe055792b86393bba6f18e3d89fd8c18253922d992"],
    [{ pieceLength: 1024 }, "e894374a39e39cfa78c409cac02f2cdbb5605a24f5ff55c7bc2b624877556c03"],
  ] as const;
  for (const [parts, id] of cached) assert.equal(await persistentCacheTaskIdOf(textInParts("This is a test file"), parts), id);
});

test("hosts and peers are named after their machine", () => {
  const machine = { ip: "127.0.0.1", hostname: "localhost", uuid: "0b7e8b9a-5a26-4f7e-8d0c-9c2b1f6d3a55" };
  assert.equal(hostIdOf({ ...machine, seed: false }), "127.0.0.1-localhost");
  assert.equal(hostIdOf({ ...machine, seed: true }), "127.0.0.1-localhost-seed");
  assert.equal(peerIdOf({ ...machine, seed: false }), `127.0.0.1-localhost-${machine.uuid}`);
  assert.equal(peerIdOf({ ...machine, seed: true }), `127.0.0.1-localhost-${machine.uuid}-seed`);
});

test("foreign ids are checked before they are used", () => {
  assert.equal(parseTaskId(HEX), HEX);
  for (const text of ["", HEX.slice(1), `${HEX}0`, HEX.toUpperCase(), `${HEX.slice(1)}g`, `${HEX}\n`]) refuses(() => parseTaskId(text));
  assert.equal(parseHostId("10.0.0.1-hôte"), "10.0.0.1-hôte");
  for (const text of ["", "a\nb", "a\u0000", "a\u0085b", "x".repeat(1025), "ü".repeat(513)]) {
    refuses(() => parseHostId(text));
    refuses(() => parsePeerId(text));
  }
});

async function* textInParts(text: string): AsyncGenerator<Uint8Array> {
  for (const character of text) yield Buffer.from(character);
}
