import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, constants, type IncomingHttpHeaders } from "node:http2";
import { test } from "node:test";
import { SchedulerService } from "./gen/scheduler/v2/scheduler.ts";
import { serve } from "./grpc-fixture.ts";
import { serviceOf } from "./service.ts";

test("a caller that keeps its half of a stream open hears that the answer was the end of it", async () => {
  await using served = await serve([serviceOf(SchedulerService, { announcePeer: async ({ send }) => send({}) })]);
  const session = connect(`http://${served.address.host}:${served.address.port}`);
  try {
    const stream = session.request(
      { ":method": "POST", ":path": SchedulerService.announcePeer.path, "content-type": "application/grpc", te: "trailers" },
      { endStream: false },
    );
    const trailers = once(stream, "trailers") as Promise<[IncomingHttpHeaders]>;
    stream.resume();
    await once(stream, "close"); // without the server's reset it would stay open for as long as our half does
    assert.equal((await trailers)[0]["grpc-status"], "0");
    assert.equal(stream.rstCode, constants.NGHTTP2_NO_ERROR);
  } finally {
    session.close();
  }
});
