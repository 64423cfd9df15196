import { mkdirSync } from "node:fs";
import { runNginx, withOneWorker } from "./nginx.ts";
import type { Child } from "./process.ts";

interface CachingNginxOptions {
  readonly workDirectory: string;
  readonly port: number;
  readonly upstreamPort: number;
}

/** nginx that keeps what it fetches from an upstream and sends it on while it comes. What it keeps is in `cache` below its directory. */
export async function startCachingNginx(options: CachingNginxOptions): Promise<Child> {
  mkdirSync(options.workDirectory, { recursive: true });
  return runNginx({ ...options, config: configOf(options) });
}

/**
 * Tuned for large files: buffers of 256 KiB instead of 4 KiB, of which a few are on their way to the client while others fill; written once,
 * right where they stay (`use_temp_path=off`), and sent on with sendfile.
 */
const configOf = ({ workDirectory, port, upstreamPort }: CachingNginxOptions): string =>
  withOneWorker(
    workDirectory,
    `sendfile_max_chunk 512k;
  proxy_cache_path ${workDirectory}/cache keys_zone=bench:8m max_size=64g inactive=1h use_temp_path=off;
  upstream origin { server 127.0.0.1:${upstreamPort}; keepalive 4; }
  server {
    listen 127.0.0.1:${port};
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
  }`,
  );
