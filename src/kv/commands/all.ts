import { CLUSTER_COMMANDS } from "./cluster/all.ts";
import { COMMAND } from "./command-command.ts";
import { REPLICATION_COMMANDS } from "./replication.ts";
import { PUBSUB_COMMANDS } from "./pubsub.ts";
import { LOLWUT } from "./lolwut.ts";
import { BITFIELD_COMMANDS } from "./bitfield.ts";
import { BITMAP_COMMANDS } from "./bitmap.ts";
import type { Command } from "./command.ts";
import { ACL } from "./acl.ts";
import { CLIENT } from "./client.ts";
import { DRAGONFLY_COMMANDS } from "./dragonfly-cluster.ts";
import { SLOT_EFFECT_COMMANDS } from "./slot-effects.ts";
import { CONNECTION_COMMANDS } from "./connection.ts";
import { DUMP_COMMANDS } from "./dump.ts";
import { EXPIRE_COMMANDS } from "./expire.ts";
import { FUNCTION_COMMANDS } from "./function.ts";
import { GENERIC_COMMANDS } from "./generic.ts";
import { AUTH, HELLO } from "./hello.ts";
import { HYPERLOGLOG_COMMANDS } from "./hyperloglog.ts";
import { LIST_COMMANDS } from "./list.ts";
import { LIST_MOVE_COMMANDS } from "./list-move.ts";
import { HASH_NUMBER_COMMANDS } from "./hash-numbers.ts";
import { HASH_WALK_COMMANDS } from "./hash-walk.ts";
import { HASH_COMMANDS } from "./hash.ts";
import { KEYS_COMMANDS } from "./keys.ts";
import { MIGRATE_COMMANDS } from "./migrate.ts";
import { OBJECT_COMMANDS } from "./object.ts";
import { PERSISTENCE_COMMANDS } from "./persistence.ts";
import { RENAME_COMMANDS } from "./rename.ts";
import { SCRIPT_COMMANDS } from "./script.ts";
import { SERVER_COMMANDS } from "./server.ts";
import { STREAM_COMMANDS } from "./stream/all.ts";
import { GEO_COMMANDS } from "./geo.ts";
import { GEO_SEARCH_COMMANDS } from "./geo-search.ts";
import { SORTED_SET_COMMANDS } from "./sorted-set.ts";
import { SORTED_SET_ALGEBRA_COMMANDS } from "./sorted-set-algebra.ts";
import { SORTED_SET_POP_COMMANDS } from "./sorted-set-pop.ts";
import { SORTED_SET_RANDOM_COMMANDS } from "./sorted-set-random.ts";
import { SORTED_SET_RANGE_COMMANDS } from "./sorted-set-range.ts";
import { SET_ALGEBRA_COMMANDS } from "./set-algebra.ts";
import { SET_RANDOM_COMMANDS } from "./set-random.ts";
import { SET_COMMANDS } from "./set.ts";
import { SORT_COMMANDS } from "./sort.ts";
import { STRING_COMMANDS } from "./string.ts";
import { SYNC_COMMANDS } from "./sync.ts";
import { TRANSACTION_COMMANDS } from "./transaction.ts";

/** Every command of the server. */
export const COMMANDS: readonly Command[] = [
  ACL,
  AUTH,
  COMMAND,
  LOLWUT,
  ...CLUSTER_COMMANDS,
  ...DRAGONFLY_COMMANDS,
  ...SLOT_EFFECT_COMMANDS,
  ...REPLICATION_COMMANDS,
  ...PUBSUB_COMMANDS,
  CLIENT,
  HELLO,
  ...BITFIELD_COMMANDS,
  ...BITMAP_COMMANDS,
  ...CONNECTION_COMMANDS,
  ...DUMP_COMMANDS,
  ...EXPIRE_COMMANDS,
  ...FUNCTION_COMMANDS,
  ...GENERIC_COMMANDS,
  ...GEO_COMMANDS,
  ...GEO_SEARCH_COMMANDS,
  ...HYPERLOGLOG_COMMANDS,
  ...LIST_COMMANDS,
  ...LIST_MOVE_COMMANDS,
  ...HASH_COMMANDS,
  ...HASH_NUMBER_COMMANDS,
  ...HASH_WALK_COMMANDS,
  ...KEYS_COMMANDS,
  ...MIGRATE_COMMANDS,
  ...OBJECT_COMMANDS,
  ...PERSISTENCE_COMMANDS,
  ...RENAME_COMMANDS,
  ...SCRIPT_COMMANDS,
  ...SERVER_COMMANDS,
  ...STREAM_COMMANDS,
  ...SORTED_SET_COMMANDS,
  ...SORTED_SET_ALGEBRA_COMMANDS,
  ...SORTED_SET_POP_COMMANDS,
  ...SORTED_SET_RANDOM_COMMANDS,
  ...SORTED_SET_RANGE_COMMANDS,
  ...SET_ALGEBRA_COMMANDS,
  ...SET_COMMANDS,
  ...SET_RANDOM_COMMANDS,
  ...SORT_COMMANDS,
  ...STRING_COMMANDS,
  ...SYNC_COMMANDS,
  ...TRANSACTION_COMMANDS,
];
