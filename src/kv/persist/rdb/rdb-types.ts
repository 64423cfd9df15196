/** The version that is written: that of Redis 7.0, so that it and all later ones can read it. */
export const VERSION_WRITTEN = 10;
/** Up to that of Redis 7.4, whose new types are skipped. */
export const VERSION_READ_MAX = 12;
/** Of a `DUMP`. */
export const VERSION_DUMP_MAX = 11;

/** How a value is encoded, by the number that stands before its key (https://rdb.fnordig.de/file_format.html, and rdb.h of Redis for those since). */
export const RDB = {
  STRING: 0,
  LIST: 1,
  SET: 2,
  ZSET: 3,
  HASH: 4,
  ZSET_2: 5,
  MODULE: 6,
  MODULE_2: 7,
  HASH_ZIPMAP: 9,
  LIST_ZIPLIST: 10,
  SET_INTSET: 11,
  ZSET_ZIPLIST: 12,
  HASH_ZIPLIST: 13,
  LIST_QUICKLIST: 14,
  STREAM_LISTPACKS: 15,
  HASH_LISTPACK: 16,
  ZSET_LISTPACK: 17,
  LIST_QUICKLIST_2: 18,
  STREAM_LISTPACKS_2: 19,
  SET_LISTPACK: 20,
  STREAM_LISTPACKS_3: 21,
  /** Hashes whose fields expire, of Redis 7.4. */
  HASH_EXPIRING: 24,
  HASH_LISTPACK_EXPIRING: 25,
} as const;

/** What may stand instead of a value's type. */
export const OPCODE = {
  SLOT_INFO: 244,
  FUNCTION: 245,
  FUNCTION_BEFORE_RELEASE: 246,
  MODULE_AUX: 247,
  IDLE: 248,
  FREQ: 249,
  AUX: 250,
  RESIZE_DB: 251,
  EXPIRE_TIME_MS: 252,
  EXPIRE_TIME: 253,
  SELECT_DB: 254,
  EOF: 255,
} as const;
