import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { claimOf, verify, type Signing } from "./authorization.ts";
import { Body } from "./body.ts";
import { parseRequest, type S3Request } from "./request.ts";

// The examples of Amazon S3's API Reference, by value: "Authenticating Requests", by header, by query, and in chunks with and without trailers.

const SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const CREDENTIAL = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request";
/** Midnight of 2013-05-24. */
const NOW_MS = 1_369_353_600_000;
const NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const AGAINST = { secret: SECRET, nowMs: NOW_MS, skewMs: 900_000 };

interface Sent {
  readonly method?: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: readonly Uint8Array[];
}

function requestOf({ method = "GET", url, headers, body = [] }: Sent): S3Request {
  const headersDistinct = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]]));
  return parseRequest(
    Object.assign(Readable.from(body), { method, url, headers, headersDistinct }) as unknown as IncomingMessage,
    undefined,
  );
}

const signed = (names: string, signature: string): string =>
  `AWS4-HMAC-SHA256 Credential=${CREDENTIAL},SignedHeaders=${names},Signature=${signature}`;

function verified(sent: Sent, against = AGAINST): Signing {
  const request = requestOf(sent);
  return verify(request, claimOf(request), against);
}

/** At another time. */
const at = (sent: Sent, nowMs: number) => (): unknown => verified(sent, { ...AGAINST, nowMs });

const withAuthorization = (authorization: string) => (): unknown => verified({ url: "/", headers: { ...COMMON, authorization } });

const COMMON = { host: "examplebucket.s3.amazonaws.com", "x-amz-date": "20130524T000000Z", "x-amz-content-sha256": NOTHING };
const PLAIN = "host;x-amz-content-sha256;x-amz-date";

const EXAMPLES: readonly (readonly [what: string, sent: Sent])[] = [
  [
    "GET with a range",
    {
      url: "/test.txt",
      headers: {
        ...COMMON,
        range: "bytes=0-9",
        authorization: signed(
          "host;range;x-amz-content-sha256;x-amz-date",
          "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
      },
    },
  ],
  [
    "PUT of a key that is escaped",
    {
      method: "PUT",
      url: "/test$file.text",
      headers: {
        ...COMMON,
        date: "Fri, 24 May 2013 00:00:00 GMT",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "x-amz-content-sha256": "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        authorization: signed(
          "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
          "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
      },
    },
  ],
  [
    "GET of a subresource",
    {
      url: "/?lifecycle",
      headers: { ...COMMON, authorization: signed(PLAIN, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543") },
    },
  ],
  [
    "GET with parameters",
    {
      url: "/?max-keys=2&prefix=J",
      headers: { ...COMMON, authorization: signed(PLAIN, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7") },
    },
  ],
  [
    "a presigned URL",
    {
      url: `/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${encodeURIComponent(CREDENTIAL)}&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404`,
      headers: { host: COMMON.host },
    },
  ],
];

describe("Signature Version 4", () => {
  for (const [what, sent] of EXAMPLES)
    test(`verifies ${what}`, () => {
      verified(sent);
      const other = (change: Partial<Sent>) => () => verified({ ...sent, ...change });
      assert.throws(other({ url: sent.url.replace("test", "best").replace("lifecycle", "tagging").replace("keys=2", "keys=3") }), {
        code: "SignatureDoesNotMatch",
      });
      assert.throws(other({ method: "DELETE" }), { code: "SignatureDoesNotMatch" });
      assert.throws(() => verified(sent, { ...AGAINST, secret: `${SECRET}!` }), { code: "SignatureDoesNotMatch" });
    });

  test("refuses what is too old, too new, or expired", () => {
    const [[, plain], presigned] = [EXAMPLES[0]!, EXAMPLES.at(-1)![1]]; // there are five
    at(plain, NOW_MS + 900_000)();
    for (const nowMs of [NOW_MS + 900_001, NOW_MS - 900_001])
      assert.throws(at(plain, nowMs), { code: "RequestTimeTooSkewed", status: 403 });
    at(presigned, NOW_MS + 86_400_000)();
    assert.throws(at(presigned, NOW_MS + 86_400_001), { code: "AccessDenied", message: "Request has expired" });
    assert.throws(at(presigned, NOW_MS - 900_001), { code: "AccessDenied" });
  });

  test("refuses headers that anybody could have added, and requests without a signature", () => {
    const [, plain] = EXAMPLES[0]!; // there are five
    assert.throws(() => verified({ ...plain, headers: { ...plain.headers, "x-amz-copy-source": "/a/b" } }), { code: "AccessDenied" });
    assert.throws(() => verified({ url: "/test.txt", headers: COMMON }), { code: "AccessDenied" });
    assert.throws(withAuthorization("AWS AKIAIOSFODNN7EXAMPLE:abc="), { code: "InvalidRequest" });
    assert.throws(withAuthorization("AWS4-HMAC-SHA256 Credential=a/b"), { code: "AuthorizationHeaderMalformed" });
    assert.throws(withAuthorization(signed("x-amz-content-sha256;x-amz-date", "0".repeat(64))), { code: "AccessDenied" });
  });
});

const A = "a".repeat(65_536);

interface Chunked {
  readonly trailer: boolean;
  readonly signatures: readonly [seed: string, ...chunks: string[]];
}

const PLAIN_CHUNKS: Chunked = {
  trailer: false,
  signatures: [
    "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
  ],
};
const TRAILER_CHUNKS: Chunked = {
  trailer: true,
  signatures: [
    "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
  ],
};

function chunked({ trailer, signatures: [seed, first, second, last, trailing] }: Chunked, change = (text: string): string => text): Sent {
  const end = trailer ? `x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:${trailing}\r\n\r\n` : "\r\n";
  const text = `10000;chunk-signature=${first}\r\n${A}\r\n400;chunk-signature=${second}\r\n${A.slice(0, 1024)}\r\n0;chunk-signature=${last}\r\n${end}`;
  const payload = `STREAMING-AWS4-HMAC-SHA256-PAYLOAD${trailer ? "-TRAILER" : ""}`;
  const headers = {
    host: "s3.amazonaws.com",
    "content-encoding": "aws-chunked",
    ...(!trailer && { "content-length": "66824" }),
    "x-amz-content-sha256": payload,
    "x-amz-date": "20130524T000000Z",
    "x-amz-decoded-content-length": "66560",
    "x-amz-storage-class": "REDUCED_REDUNDANCY",
    ...(trailer && { "x-amz-trailer": "x-amz-checksum-crc32c" }),
  };
  const names = Object.keys(headers).toSorted().join(";");
  return {
    method: "PUT",
    url: "/examplebucket/chunkObject.txt",
    headers: { ...headers, authorization: signed(names, seed) },
    body: [Buffer.from(change(text))],
  };
}

async function received(sent: Sent): Promise<{ readonly text: string; readonly body: Body }> {
  const request = requestOf(sent);
  const claim = claimOf(request);
  const body = new Body(request, { payload: claim.payload, signing: verify(request, claim, AGAINST) });
  return { text: (await body.whole(100_000)).toString(), body };
}

describe("a body in signed chunks", () => {
  for (const example of [PLAIN_CHUNKS, TRAILER_CHUNKS])
    test(`is taken as the reference has it, ${example.trailer ? "with a trailer" : "without one"}`, async () => {
      const { text, body } = await received(chunked(example));
      assert.equal(text, A + A.slice(0, 1024));
      assert.equal(body.received.bytes, 66_560);
      if (example.trailer) assert.deepEqual(body.received.checksum, { name: "CRC32C", value: "sOO8/Q==" });
      const refused = (change: (text: string) => string, code: string) => assert.rejects(received(chunked(example, change)), { code });
      await refused((whole) => whole.replace("aaaa\r\n", "aaab\r\n"), "SignatureDoesNotMatch");
      await refused(
        (whole) => whole.replace(/0;chunk-signature=b6c6|0;chunk-signature=2ca2/, "0;chunk-signature=0000"),
        "SignatureDoesNotMatch",
      );
      if (example.trailer) await refused((whole) => whole.replace("sOO8", "sOO9"), "SignatureDoesNotMatch");
    });
});
