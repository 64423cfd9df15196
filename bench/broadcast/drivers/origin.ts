import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { nginxConfig } from "../../kit/nginx.ts";
import { serving } from "../waiting.ts";
import type { Stage } from "./driver.ts";

const PORT = 8000;

/** nginx at the origin, serving the content; gives the URL of its directory. */
export async function startOrigin({ processes, origin, content, directory }: Stage): Promise<string> {
  const configPath = join(directory, "nginx.conf");
  writeFileSync(configPath, nginxConfig({ root: dirname(content.path), workDirectory: directory, listen: `${origin.address}:${PORT}` }));
  const server = processes.start(origin, "origin", ["nginx", "-c", configPath, "-p", directory, "-e", "stderr"]);
  await serving(server, origin, PORT);
  return `http://${origin.address}:${PORT}`;
}
