// An `import` of it would load its streams, too, which takes longer than all that is done with it here.
const { readFileSync } = process.getBuiltinModule("node:fs");

/** Of the package; "anax/<version>" is how our daemons tell each other from foreign ones. */
export const VERSION: string = readVersion();

/** Sources lie two folders below the package file, compiled ones three. */
function readVersion(): string {
  for (const up of ["../..", "../../.."]) {
    try {
      const { name, version } = JSON.parse(readFileSync(`${import.meta.dirname}/${up}/package.json`, "utf8")) as {
        name: string;
        version: string;
      };
      if (name === "anax") return version;
    } catch {
      continue; // the other layout
    }
  }
  return "0.0.0";
}
