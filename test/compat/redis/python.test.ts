import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { must } from "../../kit/process.ts";
import { startClientScene, USER } from "./client-scene.ts";

/** Debian's own, whose packages it has; another one may be first in the path. */
const PYTHON = "/usr/bin/python3";
const SCRIPT = fileURLToPath(new URL("python-client.py", import.meta.url));
const skip = existsSync("/usr/lib/python3/dist-packages/redis/client.py") ? false : "no python3-redis here";

for (const secure of [false, true])
  test(`python3-redis${secure ? " over TLS as a user with a password" : ""}`, { skip }, async () => {
    await using scene = await startClientScene();
    const options = secure ? { port: scene.tlsPort, ssl: true, ssl_ca_certs: scene.caFile, ...USER } : { port: scene.port };
    assert.equal(await must(PYTHON, [SCRIPT, JSON.stringify({ host: "127.0.0.1", ...options })]), "ok\n");
  });
