import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { anaxCommand } from "../kit/anax.ts";
import { must, run } from "../kit/process.ts";
import { sha256OfGenerated } from "../kit/generated-content.ts";
import { sha256OfFile } from "../kit/terminal.ts";
import { CannotHost, type Incident } from "./incident.ts";
import { aDaemon, aScene, demand, MIB, slay, urlOf } from "./scene.ts";

const FILE = { bytes: 8 * MIB, seed: 17 };

export const SOCKETS: readonly Incident[] = [
  {
    name: "socket-mounted",
    fault: "SIGKILL to a daemon, and a restart, under a container that has mounted its socket's directory",
    async run(scope) {
      const scene = await aScene(scope, { "/file": FILE });
      const [shared, inContainer] = [join(scene.dir, "run"), join(scene.dir, "mnt")];
      const set = { "p2p.daemon.socketPath": join(shared, "daemon.sock") };
      const first = await aDaemon(scope, scene, "a", { set });
      await Promise.all(["directory", "file"].map((name) => mkdir(join(inContainer, name), { recursive: true })));
      const pid = await aContainer(scope, [
        `mount --bind ${shared} ${inContainer}/directory`,
        `touch ${inContainer}/file/daemon.sock`,
        `mount --bind ${shared}/daemon.sock ${inContainer}/file/daemon.sock`,
      ]);
      const asks = (mounted: "directory" | "file") =>
        run("nsenter", [`--mount=/proc/${pid}/ns/mnt`, "--", ...anaxCommand(["ls", "-e", join(inContainer, mounted, "daemon.sock")])]);
      demand((await asks("directory")).code === 0 && (await asks("file")).code === 0, "the container does not reach the first daemon");
      const { ino } = await stat(shared);
      await slay(first);
      const again = await aDaemon(scope, scene, "a", { set });
      demand((await stat(shared)).ino === ino, "the directory was replaced");
      const output = join(scene.dir, "out");
      const command = anaxCommand(["get", urlOf(scene, "/file"), "-O", output, "-e", join(inContainer, "directory", "daemon.sock")]);
      await must("nsenter", [`--mount=/proc/${pid}/ns/mnt`, "--", ...command]);
      demand((await sha256OfFile(output)) === sha256OfGenerated(FILE), "wrong bytes");
      demand((await asks("file")).code !== 0, "a mounted file was believed to keep the old socket; it did not");
      await again[Symbol.asyncDispose](); // a clean stop leaves the directory, too
      await aDaemon(scope, scene, "a", { set });
      demand((await asks("directory")).code === 0, "the container does not reach the daemon after a clean restart");
      return { recoverSeconds: again.readyMs / 1000, note: "the same mount reaches each new daemon; the file alone, mounted, does not" };
    },
  },
];

/** A process with mounts of its own, as containers have, made by these commands; its id. */
async function aContainer(scope: AsyncDisposableStack, commands: readonly string[]): Promise<number> {
  const script = [...commands, "echo ready", "exec sleep 600"].join(" && ");
  const child = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", script], { stdio: ["ignore", "pipe", "inherit"] });
  scope.defer(async () => {
    const ended = once(child, "close");
    child.kill("SIGKILL");
    await ended;
  });
  const first = await createInterface(child.stdout)[Symbol.asyncIterator]().next();
  if (first.done === true) throw new CannotHost("no mounts of its own can be made");
  return child.pid!; // it printed a line
}
