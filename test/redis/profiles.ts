/** How the suite is run. */
export interface Profile {
  readonly name: ProfileName;
  readonly about: string;
  readonly arguments: readonly string[];
  /** Tests use the one server that runs already; else each starts servers of its own, by a launcher of the name that the suite expects. */
  readonly external: boolean;
}

export type ProfileName = "full" | "portable" | "own";

/** What a server of another kind may lack: the inner workings of Redis, its DEBUG command, its files. */
const PORTABLE_TAGS = [
  "-slow",
  "-needs:debug",
  "-needs:repl",
  "-needs:config-maxmemory",
  "-needs:config-resetstat",
  "-needs:pfdebug",
  "-needs:save",
  "-needs:latency",
  "-large-memory",
];

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  full: { name: "full", about: "against one running server, without slow tests", arguments: ["--tags", "-slow"], external: true },
  portable: {
    name: "portable",
    about: "the same, without what asks for Redis' inner workings",
    arguments: ["--singledb", "--ignore-encoding", "--ignore-digest", "--tags", PORTABLE_TAGS.join(" ")],
    external: true,
  },
  own: { name: "own", about: "each test starts its own servers, without slow tests", arguments: ["--tags", "-slow"], external: false },
};
