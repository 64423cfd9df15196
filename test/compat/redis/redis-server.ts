import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { temporaryDirectory } from "../../kit/temporary-directory.ts";
import { RespClient } from "../../store/resp-client.ts";

/** Whether there is a Redis on this machine. */
export const hasRedis = (): boolean => spawnSync("redis-server", ["--version"]).status === 0;

const START_MS = 20_000;

/** A real Redis with nothing in it, gone with all its files at the end of the scope. */
export async function startRedis(...settings: readonly string[]): Promise<AsyncDisposable & { readonly port: number }> {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const port = await freePort();
  const args = ["--port", String(port), "--dir", directory.path, "--save", "", "--enable-debug-command", "yes", ...settings];
  const child = spawn("redis-server", args, { stdio: "ignore" });
  scope.defer(async () => {
    const exited = once(child, "exit");
    if (child.exitCode === null && child.kill("SIGKILL")) await exited;
  });
  const untilMs = performance.now() + START_MS;
  for (;;) {
    try {
      using client = await RespClient.connect(port);
      if ((await client.call("PING")) === "PONG") break;
    } catch (error) {
      if (performance.now() > untilMs) throw error;
    }
  }
  const owned = scope.move();
  return { port, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function freePort(): Promise<number> {
  await using server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}
