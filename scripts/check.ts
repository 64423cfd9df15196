import { bin, must, mustNode } from "./kit.ts";

// Everything a machine can say about the sources without running them, then what runs in seconds.
must("format", bin("oxfmt"), ["--check", "."]);
must("lint", bin("oxlint"), ["--type-aware", "--deny-warnings", "src", "test", "bench", "scripts", "bin"]);
must("types", bin("tsc"), ["--noEmit"]);
must("unused code", bin("knip"), ["--no-progress"]);
must("generated gRPC types are current", process.execPath, ["scripts/generate-grpc.mjs", "--check"]);
mustNode("reference documents are current", ["scripts/docs.ts", "--check"]);
mustNode("rooms and records", ["--test", "test/tidy.test.ts"]);
