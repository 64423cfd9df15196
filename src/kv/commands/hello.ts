import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { integerAt } from "../numbers.ts";
import { REDIS_VERSION } from "../version.ts";
import { setName } from "./client.ts";
import type { Command } from "./command.ts";

export const HELLO: Command = {
  name: "hello",
  arity: -1,
  flags: ["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"],
  group: "connection",
  summary: "Chooses the protocol, signs in, gives the connection a name; answers what the server is.",
  since: "6.0.0",
  run(client, request) {
    let protocol = client.reply.protocol;
    let name: string | undefined;
    let credentials: readonly [user: string, password: string] | undefined;
    if (request.count > 1) {
      const wanted = integerAt(request, 1, { error: "ERR Protocol version is not an integer or out of range" });
      if (wanted !== 2 && wanted !== 3) throw new CommandError("NOPROTO unsupported protocol version");
      protocol = wanted;
    }
    for (let i = 2; i < request.count; i++) {
      const more = request.count - i - 1;
      const word = request.word(i);
      if (word === "auth" && more >= 2) {
        client.redact(i + 1);
        client.redact(i + 2);
        credentials = [request.text(i + 1), request.text(i + 2)];
        i += 2;
      } else if (word === "setname" && more >= 1) name = request.text(++i);
      else throw new CommandError(`ERR Syntax error in HELLO option '${request.text(i)}'`);
    }
    if (credentials !== undefined) client.signIn(...credentials);
    if (!client.known)
      throw new CommandError(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to " +
          "authenticate the client and select the RESP protocol version at the same time",
      );
    if (name !== undefined) setName(client, name);
    client.reply.protocol = protocol;
    answer(client);
  },
};

function answer({ reply, store, id }: Client): void {
  reply.map(7);
  reply.bulk("server");
  reply.bulk("redis");
  reply.bulk("version");
  reply.bulk(REDIS_VERSION);
  reply.bulk("proto");
  reply.integer(reply.protocol);
  reply.bulk("id");
  reply.integer(id);
  reply.bulk("mode");
  reply.bulk(store.parameters["cluster-enabled"] ? "cluster" : "standalone");
  reply.bulk("role");
  reply.bulk("master");
  reply.bulk("modules");
  reply.array(0);
}

export const AUTH: Command = {
  name: "auth",
  arity: -2,
  flags: ["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"],
  group: "connection",
  summary: "Signs in.",
  since: "1.0.0",
  run(client, request) {
    for (let i = 1; i < Math.min(request.count, 3); i++) client.redact(i);
    if (request.count > 3) throw syntaxError();
    if (request.count === 3) client.signIn(request.text(1), request.text(2));
    else {
      if (client.store.acl.default.noPassword)
        throw new CommandError(
          "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
        );
      client.signIn("default", request.text(1));
    }
    client.reply.ok();
  },
};
