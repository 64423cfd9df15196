import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { answering } from "./nginx.ts";
import { endProcess, pidOf, type Child } from "./process.ts";

/** nginx with one worker that keeps what it fetches from an upstream and sends it on while it comes. What it keeps is in `cache` below its directory. */
export async function startCachingNginx(options: {
  readonly workDirectory: string;
  readonly port: number;
  readonly upstreamPort: number;
}): Promise<Child> {
  mkdirSync(options.workDirectory, { recursive: true });
  const configPath = join(options.workDirectory, "nginx.conf");
  writeFileSync(configPath, configOf(options));
  const child = spawn("nginx", ["-c", configPath, "-p", options.workDirectory, "-e", "stderr"], { stdio: ["ignore", "ignore", "inherit"] });
  const failed = once(child, "exit").then(() => {
    throw new Error("nginx ended; is it installed?");
  });
  await Promise.race([failed, answering(options.port)]);
  failed.catch(() => {}); // it ends when it is told to
  return { pid: pidOf(child), ready: undefined, [Symbol.asyncDispose]: () => endProcess(child) };
}

/**
 * Tuned for large files: buffers of 256 KiB instead of 4 KiB, of which a few are on their way to the client while others fill; written once,
 * right where they stay (`use_temp_path=off`), and sent on with sendfile.
 */
const configOf = (options: { readonly workDirectory: string; readonly port: number; readonly upstreamPort: number }): string => `
daemon off;
worker_processes 1;
user root;
pid ${options.workDirectory}/nginx.pid;
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  sendfile_max_chunk 512k;
  tcp_nopush on;
  tcp_nodelay on;
  client_body_temp_path ${options.workDirectory}/body;
  proxy_temp_path ${options.workDirectory}/proxy;
  fastcgi_temp_path ${options.workDirectory}/fastcgi;
  uwsgi_temp_path ${options.workDirectory}/uwsgi;
  scgi_temp_path ${options.workDirectory}/scgi;
  proxy_cache_path ${options.workDirectory}/cache keys_zone=bench:8m max_size=64g inactive=1h use_temp_path=off;
  upstream origin { server 127.0.0.1:${options.upstreamPort}; keepalive 4; }
  server {
    listen 127.0.0.1:${options.port};
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache bench;
      proxy_cache_valid 200 1h;
      proxy_cache_key $request_uri;
      proxy_buffer_size 64k;
      proxy_buffers 16 256k;
      proxy_busy_buffers_size 1m;
      proxy_temp_file_write_size 1m;
    }
  }
}
`;
