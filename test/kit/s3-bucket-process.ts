// A bucket in a process of its own, for tests that wait for a mount in calls during which nothing else of theirs runs.
import { startS3Bucket } from "./s3-bucket.ts";
import type { BucketOrder, BucketSeen } from "./s3-bucket-server.ts";

const bucket = await startS3Bucket();
process.send!({ endpoint: bucket.endpoint }); // it is forked
process.on("message", ({ fault, method, every = 1 }: BucketOrder) => {
  let count = 0;
  const before = bucket.requests.length;
  bucket.fault = (request) =>
    fault !== undefined && (method === undefined || request.method === method) && ++count % every === 0 ? fault : undefined;
  process.send!({ requests: before, givenBytes: bucket.givenBytes } satisfies BucketSeen);
});
process.on("disconnect", () => process.exit(0));
