import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { build, type Plugin } from "esbuild";
import { NODE_MIN } from "../src/cli/older-node.ts";
import { ROOT, bin, must } from "./kit.ts";

/** Packages that every quick command needs; what only some need stays outside, and is loaded by those. */
const INSIDE: ReadonlySet<string> = new Set(["commander", "@bufbuild/protobuf"]);

/** Who loads it serves calls, and is no quick command. */
const SERVES = "@grpc/grpc-js";

const COMMON = { absWorkingDir: ROOT, bundle: true, platform: "node", target: "node24.12", logLevel: "warning" } as const;

/** Of all that may run, only these modules are inside of `anax.js`; the quick commands are a file beside it. */
const onlyStart: Plugin = {
  name: "only-start",
  setup(bundler) {
    bundler.onResolve({ filter: /\/quick\.js$/ }, ({ path }) => ({ path, namespace: "quick" }));
    bundler.onLoad({ filter: /.*/, namespace: "quick" }, () => ({
      contents: 'exports.runQuick = (argv) => require("./quick.cjs").runQuick(argv);',
    }));
    bundler.onResolve({ filter: /\/quick\.cjs$/ }, ({ path }) => ({ path, external: true }));
    bundler.onResolve({ filter: /^\.\.?\// }, ({ path, kind, resolveDir }) =>
      kind === "dynamic-import" && !path.endsWith("/start.js")
        ? { path: relative(join(ROOT, "dist/bin"), join(resolveDir, path)), external: true }
        : undefined,
    );
  },
};

/** Commander loads it for subcommands that are programs of their own. We have none, and to load it takes a millisecond. */
const childProcessWhenUsed: Plugin = {
  name: "child-process-when-used",
  setup(bundler) {
    bundler.onResolve({ filter: /^node:child_process$/ }, ({ path }) => ({ path, namespace: "when-used" }));
    bundler.onLoad({ filter: /.*/, namespace: "when-used" }, () => ({
      contents: 'exports.spawn = (...args) => process.getBuiltinModule("node:child_process").spawn(...args);',
    }));
  },
};

/** What a program reads that loads the store on an older Node. */
const tooOldForStore = `{
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < ${NODE_MIN[0]} || (major === ${NODE_MIN[0]} && minor < ${NODE_MIN[1]}))
    throw Object.assign(new Error("anax needs Node ${NODE_MIN.join(".")} or newer, this is " + process.version), { code: "runtime.unsupported" });
}`;

// The package: every module by itself, from the compiler; and as one file each, which Node finds and reads sooner, the way to a command and all
// quick commands (see src/cli/quick.ts).
must("compile", bin("tsc"), ["-p", "tsconfig.build.json"]);
await bundleQuickCommands();
await bundleStart();
await bundleStore();

/**
 * CommonJS, because there a module inside of the bundle, and a package outside, is evaluated at its first use; in a bundle of ES modules
 * the packages would all be loaded at the start, and splitting it would bring dozens of files back. Not minified: stack traces name our functions.
 */
async function bundleQuickCommands(): Promise<void> {
  const { dependencies, optionalDependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as PackageFile;
  const { metafile } = await build({
    ...COMMON,
    entryPoints: ["dist/src/cli/quick.js"],
    outfile: "dist/bin/quick.cjs",
    format: "cjs",
    external: Object.keys({ ...dependencies, ...optionalDependencies }).filter((name) => !INSIDE.has(name)),
    define: { "import.meta.dirname": "__dirname" },
    plugins: [childProcessWhenUsed],
    metafile: true,
  });
  const outside = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path));
  if (outside.includes(SERVES)) throw new Error(`the bundle of the quick commands leads to ${SERVES}, and so to the code of a daemon`);
}

/**
 * `anax.js` with what it always needs inside, and as CommonJS, so that a quick command loads no ES module: to ready Node's loader of those takes
 * longer than to read the program. An older Node must be able to read it, up to the place where it hands over to another one.
 * Beside it lies `anax`, what npm links into PATH.
 */
async function bundleStart(): Promise<void> {
  await build({
    ...COMMON,
    entryPoints: ["dist/bin/anax.js"],
    outfile: "dist/bin/anax.js",
    allowOverwrite: true,
    format: "cjs",
    target: "node20",
    plugins: [onlyStart],
  });
  writeFileSync(join(ROOT, "dist/bin/package.json"), '{ "type": "commonjs" }\n');
  copyFileSync(join(ROOT, "bin/anax.sh"), join(ROOT, "dist/bin/anax"));
}

/** The store for programs that embed it, as one file: reading 190 modules took a test suite a quarter of a second. Other packages stay outside. */
async function bundleStore(): Promise<void> {
  await build({
    ...COMMON,
    entryPoints: ["dist/src/kv/start-store.js"],
    outfile: "dist/store.js",
    format: "esm",
    target: "node20", // which must be able to read it, up to where it says that it is too old
    packages: "external",
    banner: { js: tooOldForStore },
  });
}

interface PackageFile {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
}
