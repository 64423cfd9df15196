import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** The server as one file, which is read in a quarter of the time that its sources take: there is more starting than anything else here. */
export async function bundleServer(directory: string): Promise<string> {
  const outfile = join(directory, "chaos-server.cjs");
  await build({
    absWorkingDir: ROOT,
    entryPoints: ["test/chaos/chaos-server.ts"],
    outfile,
    bundle: true,
    platform: "node",
    target: "node24.12",
    format: "cjs",
    external: ["koffi"],
    define: { "import.meta.dirname": "__dirname", "import.meta.url": "__filename" },
    logLevel: "warning",
  });
  return outfile;
}

/** Where a bundle elsewhere finds packages that it does not have. */
export const PACKAGES = join(ROOT, "node_modules");
