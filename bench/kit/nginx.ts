import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { once } from "node:events";
import { setImmediate as nextTurn } from "node:timers/promises";
import { endProcess, pidOf, type Child } from "./process.ts";

/** nginx with one worker that serves a directory with sendfile, as its manual recommends for large files. */
export const startNginx = (options: { readonly root: string; readonly workDirectory: string; readonly port: number }): Promise<Child> =>
  runNginx({ ...options, config: nginxConfig({ ...options, listen: `127.0.0.1:${options.port}` }) });

/** nginx with a configuration; it is there once it answers on the port. */
export async function runNginx(options: {
  readonly workDirectory: string;
  readonly port: number;
  readonly config: string;
}): Promise<Child> {
  const { workDirectory, port, config } = options;
  const configPath = join(workDirectory, "nginx.conf");
  writeFileSync(configPath, config);
  const child = spawn("nginx", ["-c", configPath, "-p", workDirectory, "-e", "stderr"], { stdio: ["ignore", "ignore", "inherit"] });
  const failed = once(child, "exit").then(() => {
    throw new Error("nginx ended; is it installed?");
  });
  await Promise.race([failed, answering(port)]);
  failed.catch(() => {}); // it ends when it is told to
  return { pid: pidOf(child), ready: undefined, [Symbol.asyncDispose]: () => endProcess(child) };
}

export const nginxConfig = (options: { readonly root: string; readonly workDirectory: string; readonly listen: string }): string =>
  withOneWorker(
    options.workDirectory,
    `keepalive_requests 1000000;
  keepalive_timeout 300s;
  server { listen ${options.listen}; root ${options.root}; open_file_cache max=100; }`,
  );

/** What is the same whatever it serves; it writes nothing outside of its directory. `http` goes into the block of that name. */
export const withOneWorker = (workDirectory: string, http: string): string => `
daemon off;
worker_processes 1;
user root;
pid ${workDirectory}/nginx.pid;
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  client_body_temp_path ${workDirectory}/body;
  proxy_temp_path ${workDirectory}/proxy;
  fastcgi_temp_path ${workDirectory}/fastcgi;
  uwsgi_temp_path ${workDirectory}/uwsgi;
  scgi_temp_path ${workDirectory}/scgi;
  ${http}
}
`;

/** Resolves once somebody accepts connections there. */
async function answering(port: number): Promise<void> {
  for (;;) {
    const socket = connect({ port, host: "127.0.0.1" });
    const connected = await new Promise<boolean>((resolve) =>
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false)),
    );
    socket.destroy();
    if (connected) return;
    await nextTurn();
  }
}
