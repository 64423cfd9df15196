import assert from "node:assert/strict";
import { test } from "node:test";
import { AnaxError } from "../../base/errors.ts";
import type { DownloadAnswer, DownloadTalk } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import type { AnnouncePeerRequest, AnnouncePeerResponse } from "../../wire/grpc/gen/scheduler/v2/scheduler.ts";
import { Talks } from "./talks.ts";

const started: AnnouncePeerRequest = {
  hostId: "h",
  taskId: "t",
  peerId: "p",
  request: { $case: "downloadPeerStartedRequest", value: {} },
};
const empty: AnnouncePeerResponse = { response: { $case: "emptyTaskResponse", value: {} } };
const answer = (id: number, change: Partial<DownloadAnswer> = {}): DownloadAnswer => ({
  id,
  response: undefined,
  errorCode: "",
  errorDetails: new Uint8Array(),
  ...change,
});

function connected() {
  const said: DownloadTalk[] = [];
  const talks = new Talks();
  talks.connect((talk) => void said.push(talk));
  return { talks, said };
}

async function heard(responses: AsyncIterable<AnnouncePeerResponse>): Promise<string> {
  let count = 0;
  try {
    for await (const _ of responses) count++;
    return `${count}, and the end`;
  } catch (thrown) {
    return `${count}, and ${(thrown as AnaxError).code}`;
  }
}

test("each conversation hears its own answers, to its own end", async () => {
  const { talks, said } = connected();
  const { signal } = new AbortController();
  using one = talks.begin(signal);
  using two = talks.begin(signal);
  await one.send(started);
  talks.hear(answer(2, { response: empty }));
  talks.hear(answer(1, { response: empty }));
  talks.hear(answer(1, { response: empty }));
  talks.hear(answer(1));
  talks.hear(answer(2, { errorCode: "source.not-found", errorDetails: Buffer.from('{"status":404}') }));
  assert.deepEqual(await Promise.all([heard(one.responses), heard(two.responses)]), ["2, and the end", "1, and source.not-found"]);
  assert.deepEqual(said, [{ id: 1, request: started }]);
  await assert.rejects(one.send(started), { code: "rpc.cancelled" });
});

test("when the host's stream ends all conversations do, and a new one begins on the next", async () => {
  const { talks, said } = connected();
  using one = talks.begin(new AbortController().signal);
  const hearing = heard(one.responses);
  talks.disconnect(new AnaxError("rpc.unavailable", {}));
  assert.equal(await hearing, "0, and rpc.unavailable");
  assert.equal(talks.ready, false);
  talks.connect((talk) => void said.push(talk));
  using two = talks.begin(new AbortController().signal);
  await two.send(started);
  assert.deepEqual(said, [{ id: 2, request: started }]);
});

test("who stops listening says so once, whether its signal aborts or it is disposed", async () => {
  const { talks, said } = connected();
  const controller = new AbortController();
  const one = talks.begin(controller.signal);
  controller.abort(new AnaxError("download.cancelled", {}));
  one[Symbol.dispose]();
  assert.equal(await heard(one.responses), "0, and download.cancelled");
  assert.deepEqual(said, [{ id: 1, request: undefined }]);
});

test("of answers that nobody takes the oldest go", async () => {
  const { talks } = connected();
  using one = talks.begin(new AbortController().signal);
  for (let n = 0; n < 1000; n++) talks.hear(answer(1, { response: empty }));
  talks.hear(answer(1));
  assert.equal(await heard(one.responses), "64, and the end");
});
