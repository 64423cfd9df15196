import assert from "node:assert/strict";
import { test } from "node:test";
import { Event } from "../../wire/grpc/gen/anax/v1/common.ts";
import { ExplainDaemonResponse, LocalTask } from "../../wire/grpc/gen/anax/v1/daemon.ts";
import { reasonOf } from "./reason.ts";

const MIB = 1024 * 1024;

function story(
  local: Partial<LocalTask>,
  events: readonly (readonly [string, Record<string, string>])[],
  schedulerError = "",
): string | undefined {
  return reasonOf(
    ExplainDaemonResponse.fromPartial({
      local: LocalTask.fromPartial(local),
      events: events.map(([event, fields]) => Event.fromPartial({ event, fields })),
      schedulerError,
    }),
  );
}

const read = (because: string): readonly [string, Record<string, string>] => ["download.read-source", { because }];

test("the answer says in a sentence where the bytes came from, and why", () => {
  const rows: readonly [string | undefined, string | undefined][] = [
    [story({}, []), undefined],
    [story({ bytesFromPeers: MIB }, []), "Everything came from peers; the source was not read by this machine."],
    [
      story({ bytesFromSource: MIB }, [["scheduler.says-source", { reason: "first" }], read("scheduler-says")]),
      "Everything came from the source because the scheduler chose it as the one that reads the source: nobody had the content or was reading it.",
    ],
    [
      story({ bytesFromSource: MIB }, [read("no-scheduler")], "connection refused"),
      "Everything came from the source because no scheduler could be reached (connection refused).",
    ],
    [
      story({ bytesFromSource: 2 * MIB, bytesFromPeers: MIB }, [read("parents-useless")]),
      "2.00 MiB came from the source because no peer that the scheduler offered could deliver.",
    ],
    [story({ bytesFromSource: MIB }, []), "Everything came from the source; why is no longer known, since this daemon was started anew."],
  ];
  for (const [said, expected] of rows) assert.equal(said, expected);
});
