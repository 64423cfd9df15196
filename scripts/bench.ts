import { readdirSync } from "node:fs";
import { join } from "node:path";
import { ROOT, mustNode } from "./kit.ts";

// npm run bench -- [name...] [flags...]: every benchmark, or those whose path contains a name; what follows the first flag goes to each.
const args = process.argv.slice(2);
const flagsAt = args.findIndex((each) => each.startsWith("-"));
const names = flagsAt === -1 ? args : args.slice(0, flagsAt);
const rest = flagsAt === -1 ? [] : args.slice(args[flagsAt] === "--" ? flagsAt + 1 : flagsAt);
const all = readdirSync(join(ROOT, "bench"), { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".bench.ts"));
const chosen = all.filter((each) => names.length === 0 || names.some((name) => each.includes(name)));
if (chosen.length === 0) throw new Error(`no benchmark is called so: ${names.join(" ")}`);
for (const file of chosen) mustNode(file, [join("bench", file), ...rest]);
