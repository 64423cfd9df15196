import assert from "node:assert/strict";
import { test } from "node:test";
import { notifyFlagsText } from "./notify-flags.ts";
import { outputLimits, outputLimitsOf, percentiles, savePoints, scoreAdjustments, shutdownFlags } from "./parameter-forms.ts";
import { PARAMETERS, type Parameter } from "./parameters.ts";
import { parseParameter, textOfParameter } from "./parameter-text.ts";

test("every parameter's default is what its own text reads as", () => {
  for (const [name, parameter] of Object.entries(PARAMETERS) as [string, Parameter][]) {
    const text = textOfParameter(parameter, parameter.default);
    assert.deepEqual(parseParameter(parameter, text, parameter.default), parameter.default, name);
  }
});

test("texts are kept in one form, or refused", () => {
  const limits = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
  assert.equal(savePoints(" 900  1 "), "900 1");
  assert.deepEqual(savePoints("900"), { problem: "Invalid save parameters" });
  assert.equal(notifyFlagsText("EKA"), "AKE");
  assert.equal(notifyFlagsText("Kgx"), "gxK");
  assert.ok(typeof notifyFlagsText("q") === "object");
  assert.equal(outputLimits("replica 1mb 2kb 5", limits), "normal 0 0 0 slave 1048576 2048 5 pubsub 33554432 8388608 60");
  assert.ok(typeof outputLimits("master 1 1 1", limits) === "object");
  assert.deepEqual(outputLimitsOf(limits).pubsub, { hardBytes: 33_554_432, softBytes: 8_388_608, softSeconds: 60 });
  assert.equal(shutdownFlags("force now"), "now force");
  assert.ok(typeof shutdownFlags("save nosave") === "object");
  assert.equal(percentiles("50 99.9"), "50 99.9");
  assert.ok(typeof percentiles("101") === "object");
  assert.ok(typeof scoreAdjustments("1 2") === "object");
});

test("memory takes units, and a part of a hundred where that means something", () => {
  assert.equal(parseParameter(PARAMETERS.maxmemory, "1gb", 0), 1024 ** 3);
  assert.equal(parseParameter(PARAMETERS["maxmemory-clients"], "5%", 0), -5);
  assert.equal(textOfParameter(PARAMETERS["maxmemory-clients"], -5), "5%");
  assert.deepEqual(parseParameter(PARAMETERS["maxmemory-clients"], "200%", 0), {
    problem: "percentage argument must be less or equal to 100",
  });
  assert.deepEqual(parseParameter(PARAMETERS.maxmemory, "much", 0), { problem: "argument must be a memory value" });
});
