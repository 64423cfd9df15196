import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { ROOT, bin, must } from "./kit.ts";

/** Packages that every quick command needs; what only some need stays outside, and is loaded by those. */
const INSIDE: ReadonlySet<string> = new Set(["commander", "@bufbuild/protobuf"]);

/** Who loads it serves calls, and is no quick command. */
const SERVES = "@grpc/grpc-js";

// The package: every module by itself, from the compiler, and the quick commands once more as one file (see src/cli/quick.ts).
must("compile", bin("tsc"), ["-p", "tsconfig.build.json"]);
await bundleQuickCommands();

/**
 * CommonJS, because there a module inside of the bundle, and a package outside, is evaluated at its first use; in a bundle of ES modules
 * the packages would all be loaded at the start, and splitting it would bring dozens of files back. Not minified: stack traces name our functions.
 */
async function bundleQuickCommands(): Promise<void> {
  const { dependencies, optionalDependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as PackageFile;
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: ["dist/src/cli/quick.js"],
    outfile: "dist/src/cli/quick.cjs",
    bundle: true,
    format: "cjs",
    platform: "node",
    target: "node24.12",
    external: Object.keys({ ...dependencies, ...optionalDependencies }).filter((name) => !INSIDE.has(name)),
    define: { "import.meta.dirname": "__dirname" },
    metafile: true,
    logLevel: "warning",
  });
  const outside = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path));
  if (outside.includes(SERVES)) throw new Error(`the bundle of the quick commands leads to ${SERVES}, and so to the code of a daemon`);
  writeFileSync(
    join(ROOT, "dist/src/cli/quick.js"),
    'import { createRequire } from "node:module";\nexport const { runQuick } = createRequire(import.meta.url)("./quick.cjs");\n',
  );
}

interface PackageFile {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
}
