import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { realClock } from "../../base/clock.ts";
import { openChannel, type ClientTls } from "./client.ts";
import { Task } from "./gen/common/v2/common.ts";
import { SchedulerService } from "./gen/scheduler/v2/scheduler.ts";
import { LOOPBACK, socketDirectory } from "./grpc-fixture.ts";
import { GrpcServer } from "./server.ts";
import { serviceOf } from "./service.ts";

const skip = spawnSync("openssl", ["version"]).status === 0 ? false : "openssl makes the certificates, and is not installed";

const openssl = (...args: readonly string[]): void => void execFileSync("openssl", args, { stdio: "ignore", timeout: 20_000 });

/** Makes an authority in `directory`; the result issues certificates for 127.0.0.1. */
function authority(directory: string, name: string) {
  const at = (file: string): string => join(directory, `${name}-${file}`);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl("req", "-x509", ...key, "-keyout", at("ca.key"), "-out", at("ca.pem"), "-days", "2", "-subj", `/CN=${name}`);
  writeFileSync(at("names"), "subjectAltName=IP:127.0.0.1");
  const issue = () => {
    openssl("req", ...key, "-keyout", at("key"), "-out", at("csr"), "-subj", "/CN=node");
    const issuer = ["-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-CAcreateserial"];
    openssl("x509", "-req", "-in", at("csr"), ...issuer, "-out", at("pem"), "-days", "1", "-extfile", at("names"));
    return { certificatePem: readFileSync(at("pem"), "utf8"), privateKeyPem: readFileSync(at("key"), "utf8") };
  };
  return { pem: readFileSync(at("ca.pem"), "utf8"), issue };
}

test("with TLS both sides prove themselves over TCP, and the Unix socket needs no proof", { skip }, async () => {
  await using sockets = await socketDirectory();
  const [trusted, foreign] = [authority(sockets.path, "trusted"), authority(sockets.path, "foreign")];
  const authorityPem = trusted.pem;
  await using server = await GrpcServer.start({
    listen: [LOOPBACK, sockets.at("s")],
    services: [serviceOf(SchedulerService, { statTask: () => Task.create() })],
    clock: realClock,
    onError: assert.fail,
    tls: { ...trusted.issue(), clientAuthorityPem: authorityPem },
  });
  const [tcp, socket] = server.addresses;
  assert.ok(tcp !== undefined && socket !== undefined);
  const ask = async (address: typeof tcp, tls?: ClientTls): Promise<unknown> => {
    using channel = openChannel(address, { clock: realClock, tls });
    return await channel.unary(SchedulerService.statTask, { hostId: "", taskId: "" }, { timeoutMs: 10_000 });
  };
  await ask(tcp, { authorityPem, ...trusted.issue() });
  await ask(socket);
  const unproven = { code: "rpc.unavailable" };
  await assert.rejects(ask(tcp), unproven);
  await assert.rejects(ask(tcp, { authorityPem }), unproven);
  await assert.rejects(ask(tcp, { authorityPem, ...foreign.issue() }), unproven);
  await assert.rejects(ask(tcp, { authorityPem: foreign.pem, ...trusted.issue() }), unproven);
});
