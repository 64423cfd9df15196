// Names of groups and keys of records: docs/formats/volume.md has them all.

const DIGITS = 14;

/** Of fixed length, so that keys are in the order of numbers. */
export const hex = (number: number): string => number.toString(16).padStart(DIGITS, "0");
export const numberOf = (digits: string): number => Number.parseInt(digits, 16);

/** What verbs are held to. */
export const FENCE = "v";
export const FENCE_KEY = "f";
/** The record of the volume as it was at its beginning. */
export const DESCRIPTION_KEY = "r";
/** Counters and the ids that are given next. */
export const COUNTERS = "c";
export const COUNTERS_KEY = "n";
/** While the volume is made of metadata from elsewhere. */
export const IMPORT = "l";
export const SESSIONS = "s";
export const QUOTAS = "q";
/** Which repair is under way. */
export const REPAIR = "r";
export const inodeGroup = (ino: number): string => `i${hex(ino)}`;
export const blobGroup = (id: number): string => `b${hex(id)}`;
/** Touched by the commits of one session only. */
export const markerGroup = (session: number): string => `m${session}`;

export const CHANGELOG = "~log";
export const BLOBS = "~b";
/** Blobs that are not LIVE. */
export const UNSETTLED_BLOBS = "~p";
export const TRASHED = "~t";
export const TRASHED_BY_TIME = "~T";
/** When each session was last heard of. */
export const SEEN = "~s";
/** Up to which line of the changelog each session has heard. */
export const ACKNOWLEDGED = "~a";
/** Files whose leases a session has and others want. */
export const wantedIndex = (session: number): string => `~w${session}`;
export const keptIndex = (session: number): string => `~k${session}`;

/** Behind all keys that begin with this one character. */
export const after = (prefix: string): string => String.fromCharCode(prefix.charCodeAt(0) + 1);

/** What this room has written. */
export const json = (value: string): unknown => JSON.parse(value);

export const bytesOf = (value: string): Buffer => Buffer.from(value, "latin1");
export const textOf = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
