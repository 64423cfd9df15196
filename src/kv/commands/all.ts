import { CLUSTER_COMMANDS } from "./cluster.ts";
import { COMMAND } from "./command-command.ts";
import { REPLICATION_COMMANDS } from "./replication.ts";
import { PUBSUB_COMMANDS } from "./pubsub.ts";
import { LOLWUT } from "./lolwut.ts";
import type { Command } from "./command.ts";
import { CLIENT } from "./client.ts";
import { CONNECTION_COMMANDS } from "./connection.ts";
import { FUNCTION_COMMANDS } from "./function.ts";
import { GENERIC_COMMANDS } from "./generic.ts";
import { AUTH, HELLO } from "./hello.ts";
import { LIST_COMMANDS } from "./list.ts";
import { LIST_MOVE_COMMANDS } from "./list-move.ts";
import { SERVER_COMMANDS } from "./server.ts";
import { STREAM_COMMANDS } from "./stream/all.ts";
import { STRING_COMMANDS } from "./string.ts";
import { TRANSACTION_COMMANDS } from "./transaction.ts";

/** Every command of the server. */
export const COMMANDS: readonly Command[] = [
  AUTH,
  COMMAND,
  LOLWUT,
  ...CLUSTER_COMMANDS,
  ...REPLICATION_COMMANDS,
  ...PUBSUB_COMMANDS,
  CLIENT,
  HELLO,
  ...CONNECTION_COMMANDS,
  ...FUNCTION_COMMANDS,
  ...GENERIC_COMMANDS,
  ...LIST_COMMANDS,
  ...LIST_MOVE_COMMANDS,
  ...SERVER_COMMANDS,
  ...STREAM_COMMANDS,
  ...STRING_COMMANDS,
  ...TRANSACTION_COMMANDS,
];
