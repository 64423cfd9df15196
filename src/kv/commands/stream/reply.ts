import type { ReplyWriter } from "../../../wire/resp/reply-writer.ts";
import type { StreamEntry } from "../../types/stream.ts";
import { textOfId } from "../../types/stream-id.ts";

export function replyEntry(reply: ReplyWriter, { id, fields }: StreamEntry): void {
  reply.array(2);
  reply.bulk(textOfId(id));
  reply.bulks(fields);
}

export function replyEntries(reply: ReplyWriter, entries: readonly StreamEntry[]): void {
  reply.array(entries.length);
  for (const entry of entries) replyEntry(reply, entry);
}
