import { mustNode } from "./kit.ts";
import { installPackages } from "./setup.ts";

installPackages();
mustNode("check", ["scripts/check.ts"]);
// Suites that start real daemons, registries and container engines share two cores: one file at a time.
mustNode("unit, simulation and room tests", [
  "--test",
  "--test-timeout=300000",
  "src/**/*.test.ts",
  "bench/**/*.test.ts",
  "test/sim/**/*.test.ts",
]);
mustNode("end to end and foreign clients", [
  "--test",
  "--test-concurrency=1",
  "--test-timeout=900000",
  "test/e2e/**/*.test.ts",
  "test/compat/**/*.test.ts",
]);
mustNode("slots that move while everything goes wrong", ["test/chaos/main.ts", "--seeds", "200"]);
mustNode("Redis' own tests, a quick part", ["test/redis/main.ts", "--quick"]);
