/** The version of Redis whose commands are there: what clients look at before they use them. */
export const REDIS_VERSION = "7.2.6";
