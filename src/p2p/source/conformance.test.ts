import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { startOrigin } from "../../../test/kit/origin.ts";
import { startS3Origin } from "../../../test/kit/s3-origin.ts";
import { aRequest, aSources } from "../../../test/kit/sources.ts";
import { sourceConformance, type SourceFixture } from "./source.conformance.ts";

const escaped = (name: string): string => name.split("/").map(encodeURIComponent).join("/");

sourceConformance("http", async (): Promise<SourceFixture> => {
  await using scope = new AsyncDisposableStack();
  const sources = scope.use(aSources());
  const origin = scope.use(await startOrigin());
  const owned = scope.move();
  const urlOf = (name: string): string => origin.url(`/${escaped(name)}`);
  return {
    sources,
    urlOf,
    canList: false,
    async put(name, content) {
      origin.put(`/${name}`, content);
      return urlOf(name);
    },
    request: (url, signal) => aRequest(url, signal && { signal }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
});

sourceConformance("file", async (): Promise<SourceFixture> => {
  await using scope = new AsyncDisposableStack();
  const root = await mkdtemp(join(tmpdir(), "anax-source-"));
  scope.defer(() => rm(root, { recursive: true }));
  const sources = scope.use(aSources({ fileRoots: [root] }));
  const owned = scope.move();
  const urlOf = (name: string): string => pathToFileURL(join(root, name)).href;
  return {
    sources,
    urlOf,
    canList: true,
    async put(name, content) {
      const path = join(root, name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, content);
      return urlOf(name);
    },
    request: (url, signal) => aRequest(url, signal && { signal }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
});

const s3UrlOf = (name: string): string => `s3://the-bucket/${escaped(name)}`;

sourceConformance("s3", async (): Promise<SourceFixture> => {
  await using scope = new AsyncDisposableStack();
  const sources = scope.use(aSources());
  const credentials = { accessKeyId: "AKTEST", accessKeySecret: "a/secret+key", sessionToken: "token" };
  const s3 = scope.use(await startS3Origin({ buckets: { "the-bucket": {} }, credentials }));
  const owned = scope.move();
  return {
    sources,
    urlOf: s3UrlOf,
    canList: true,
    async put(name, content) {
      s3.put("the-bucket", name, content);
      return s3UrlOf(name);
    },
    request: (url, signal) => aRequest(url, { objectStorage: { endpoint: s3.endpoint, ...credentials }, ...(signal && { signal }) }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
});
