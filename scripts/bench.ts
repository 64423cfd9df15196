import { readdirSync } from "node:fs";
import { join } from "node:path";
import { ROOT, mustNode } from "./kit.ts";

// npm run bench -- [name...] [-- arguments]: every benchmark, or those whose path contains a name.
const split = process.argv.indexOf("--", 2);
const names = process.argv.slice(2, split === -1 ? undefined : split);
const rest = split === -1 ? [] : process.argv.slice(split + 1);
const all = readdirSync(join(ROOT, "bench"), { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".bench.ts"));
for (const file of all.filter((each) => names.length === 0 || names.some((name) => each.includes(name))))
  mustNode(file, [join("bench", file), ...rest]);
