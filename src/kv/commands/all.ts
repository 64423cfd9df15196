import type { Command } from "./command.ts";
import { CONNECTION_COMMANDS } from "./connection.ts";
import { GENERIC_COMMANDS } from "./generic.ts";
import { STRING_COMMANDS } from "./string.ts";
import { TRANSACTION_COMMANDS } from "./transaction.ts";

/** Every command of the server. */
export const COMMANDS: readonly Command[] = [...CONNECTION_COMMANDS, ...GENERIC_COMMANDS, ...STRING_COMMANDS, ...TRANSACTION_COMMANDS];
