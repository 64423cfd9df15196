import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { FlowProducer, Queue, QueueEvents, UnrecoverableError, Worker, type Job, type Processor, type WorkerOptions } from "bullmq";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { waitFor as waitForOnly } from "../../kit/process.ts";
import { startClientScene } from "./client-scene.ts";

/** A store and its workers on a busy machine need longer than one program does to be ready. */
const waitFor = (condition: () => Promise<boolean>): Promise<void> => waitForOnly(condition, 180_000);

type Closes = { close(): Promise<void> };

/** The library's parts on one queue, all of which are closed at the end. */
class Parts implements AsyncDisposable {
  readonly name = "jobs";
  readonly #closes: (() => Promise<unknown>)[] = [];
  readonly #connection: () => Redis;

  constructor(connection: () => Redis) {
    this.#connection = connection;
  }

  get options(): { readonly connection: Redis } {
    const connection = this.#connection();
    this.#closes.push(async () => connection.disconnect());
    return { connection };
  }

  owned<T extends Closes>(part: T): T {
    this.#closes.push(() => part.close());
    return part;
  }

  queue(name = this.name): Queue {
    return this.owned(new Queue(name, this.options));
  }

  async events(name = this.name): Promise<QueueEvents> {
    const events = this.owned(new QueueEvents(name, this.options));
    await events.waitUntilReady();
    return events;
  }

  worker(processor: Processor, options: Partial<WorkerOptions> = {}, name = this.name): Worker {
    return this.owned(new Worker(name, processor, { ...this.options, ...options })).on("error", () => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closes.toReversed()) await close();
  }
}

const ended = async (queue: Queue, id: string | undefined): Promise<Job> => {
  await waitFor(async () => ["completed", "failed"].includes(await queue.getJobState(id!)));
  return (await queue.getJob(id!))!;
};

for (const protocol of [2, 3] as const)
  test(`BullMQ over RESP${protocol}`, async (t) => {
    await using scene = await startClientScene();
    const parts = (): Parts =>
      new Parts(() =>
        new Redis({ host: "127.0.0.1", port: scene.port, protocol, maxRetriesPerRequest: null, retryStrategy: () => 50 }).on(
          "error",
          () => undefined,
        ),
      );
    t.afterEach(async () => {
      const redis = new Redis({ host: "127.0.0.1", port: scene.port });
      await redis.flushall();
      redis.disconnect();
    });

    await t.test("a job is worked on, with progress, logs and result; events tell of it", async () => {
      await using all = parts();
      const queue = all.queue();
      const events = await all.events();
      const seen: string[] = [];
      for (const event of ["active", "progress", "completed"] as const) events.on(event, () => seen.push(event));
      const worker = all.worker(async (job) => {
        await job.updateProgress(50);
        await job.log("half way");
        return { doubled: job.data.n * 2 };
      });
      const job = await queue.add("double", { n: 21 });
      assert.deepEqual(await job.waitUntilFinished(events, 20_000), { doubled: 42 });
      await waitFor(async () => seen.includes("completed"));
      assert.deepEqual(seen, ["active", "progress", "completed"]);
      assert.deepEqual((await queue.getJobLogs(job.id!)).logs, ["half way"]);
      assert.deepEqual(await queue.getJobCounts("completed", "wait", "failed"), { completed: 1, wait: 0, failed: 0 });
      assert.equal(worker.isRunning(), true);
    });

    await t.test("many jobs at once, by priority, with several workers", async () => {
      await using all = parts();
      const queue = all.queue();
      await queue.pause();
      const jobs = await queue.addBulk(Array.from({ length: 100 }, (_, n) => ({ name: "n", data: { n }, opts: { priority: 100 - n } })));
      assert.equal(new Set(jobs.map(({ id }) => id)).size, 100);
      const order: number[] = [];
      all.worker(async (job) => void order.push(job.data.n));
      await queue.resume();
      await waitFor(async () => order.length === 100);
      assert.deepEqual(
        order,
        Array.from({ length: 100 }, (_, n) => 99 - n),
      );
      const done = new Set<number>();
      for (let worker = 0; worker < 3; worker++)
        all.worker(
          async (job) => {
            assert.ok(!done.has(job.data.n), "each job once");
            done.add(job.data.n);
          },
          { concurrency: 5 },
          "shared",
        );
      await all.queue("shared").addBulk(Array.from({ length: 100 }, (_, n) => ({ name: "n", data: { n } })));
      await waitFor(async () => done.size === 100);
    });

    await t.test("a delayed job waits, and can be promoted", async () => {
      await using all = parts();
      const queue = all.queue();
      const startedMs = Date.now(); // oxlint-disable-line no-restricted-globals -- the library's own clock
      const soon = await queue.add("soon", {}, { delay: 300 });
      const late = await queue.add("late", {}, { delay: 3_600_000 });
      assert.equal(await queue.getDelayedCount(), 2);
      all.worker(async () => "done");
      const job = await ended(queue, soon.id);
      assert.ok(job.processedOn! - startedMs >= 300, "not before its time");
      await late.promote();
      assert.equal((await ended(queue, late.id)).returnvalue, "done");
    });

    await t.test("retries with a backoff, and failures that are final", async () => {
      await using all = parts();
      const queue = all.queue();
      all.worker(async (job) => {
        if (job.name === "final") throw new UnrecoverableError("never again");
        if (job.attemptsMade < 2) throw new Error(`attempt ${job.attemptsMade}`);
        return "at last";
      });
      const retried = await queue.add("retried", {}, { attempts: 3, backoff: { type: "exponential", delay: 20 } });
      const final = await queue.add("final", {}, { attempts: 5 });
      assert.equal((await ended(queue, retried.id)).returnvalue, "at last");
      const failed = await ended(queue, final.id);
      assert.equal(failed.failedReason, "never again");
      assert.equal(failed.attemptsMade, 1);
      assert.equal((await queue.getJob(retried.id!))!.attemptsMade, 3);
    });

    await t.test("a scheduler adds jobs again and again, by interval and by cron", async () => {
      await using all = parts();
      const queue = all.queue();
      let ticks = 0;
      all.worker(async () => void ticks++);
      await queue.upsertJobScheduler("tick", { every: 100, limit: 3 }, { name: "tick" });
      await queue.upsertJobScheduler("nightly", { pattern: "0 3 * * *" }, { name: "nightly" });
      await waitFor(async () => ticks === 3);
      const [first] = await queue.getJobSchedulers(0, 0, true);
      assert.ok(first !== undefined);
      assert.equal((await queue.getJobScheduler("nightly"))?.pattern, "0 3 * * *");
      assert.equal(await queue.removeJobScheduler("nightly"), true);
    });

    await t.test("a flow: the parent runs when its children have, and sees what they returned", async () => {
      await using all = parts();
      const flows = all.owned(new FlowProducer(all.options));
      const queue = all.queue();
      all.worker(async (job) => {
        if (job.name === "child") return job.data.n;
        return Object.values(await job.getChildrenValues()).reduce((sum: number, n) => sum + Number(n), 0);
      });
      const { job } = await flows.add({
        name: "sum",
        queueName: all.name,
        children: [1, 2, 3].map((n) => ({ name: "child", queueName: all.name, data: { n } })),
      });
      assert.equal((await ended(queue, job.id)).returnvalue, 6);
      const failing = await flows.add({
        name: "sum",
        queueName: all.name,
        children: [{ name: "nobody", queueName: "unattended", data: {}, opts: { failParentOnFailure: true } }],
      });
      all.worker(() => Promise.reject(new Error("broken")), {}, "unattended");
      assert.match((await ended(queue, failing.job.id)).failedReason, /child .* failed/);
    });

    await t.test("pause stops what was not begun, resume goes on; duplicates are taken once", async () => {
      await using all = parts();
      const queue = all.queue();
      let ran = 0;
      const worker = all.worker(async () => void ran++);
      await worker.waitUntilReady();
      await queue.pause();
      const first = await queue.add("a", {}, { jobId: "same" });
      const second = await queue.add("a", {}, { jobId: "same" });
      const { id: original } = await queue.add("b", {}, { deduplication: { id: "dedup" } });
      const { id: duplicate } = await queue.add("b", {}, { deduplication: { id: "dedup" } });
      assert.deepEqual([second.id, duplicate], [first.id, original]);
      assert.equal(await queue.isPaused(), true);
      assert.equal((await queue.getJobCounts("wait"))["wait"], 2);
      assert.equal(ran, 0);
      await queue.resume();
      await waitFor(async () => ran === 2);
    });

    await t.test("a rate limit holds", async () => {
      await using all = parts();
      const queue = all.queue();
      const began: number[] = [];
      await queue.addBulk(Array.from({ length: 6 }, () => ({ name: "n", data: {} })));
      all.worker(async () => void began.push(performance.now()), { limiter: { max: 2, duration: 300 } });
      await waitFor(async () => began.length === 6);
      assert.ok(began[5]! - began[0]! >= 550, `3 turns of two within ${began[5]! - began[0]!} ms`); // less what timers may be early
    });

    await t.test("the job of a worker that was killed goes to another", async () => {
      await using all = parts();
      const queue = all.queue();
      const child = spawn(
        process.execPath,
        [
          "--disable-warning=ExperimentalWarning",
          fileURLToPath(new URL("bullmq-worker-process.ts", import.meta.url)),
          String(scene.port),
          all.name,
        ],
        { stdio: ["ignore", "pipe", "inherit"] },
      );
      const job = await queue.add("lost", {});
      await once(child.stdout, "data");
      child.kill("SIGKILL");
      await once(child, "exit");
      const stalled: string[] = [];
      all.worker(async () => "saved", { stalledInterval: 500, maxStalledCount: 5 }).on("stalled", (id) => stalled.push(id));
      assert.equal((await ended(queue, job.id)).returnvalue, "saved");
      assert.deepEqual(stalled, [job.id]);
    });

    await t.test("queue and worker go on when the store was killed, and no job is lost", async () => {
      await using all = parts();
      const queue = all.queue();
      const events = new Set<string>();
      all.worker(async (job) => void events.add(job.id!), {
        concurrency: 4,
        lockDuration: 5000,
        stalledInterval: 500,
        maxStalledCount: 10,
      });
      const ids: string[] = [];
      let crashed: Promise<void> | undefined;
      for (let index = 0; index < 120; index++) {
        await queue.add("n", {}).then(
          (job) => ids.push(job.id!),
          () => undefined,
        );
        if (index === 40) crashed = scene.crash();
      }
      await crashed;
      await waitFor(async () => ids.every((id) => events.has(id)));
      await waitFor(async () => (await queue.getJobCountByTypes("active", "wait", "delayed", "failed")) === 0);
    });
  });

test("BullMQ with node-redis below it", async () => {
  await using scene = await startClientScene();
  const client = createClient({ url: `redis://127.0.0.1:${scene.port}` });
  await client.connect();
  const connection = client as unknown as Redis;
  const queue = new Queue("jobs", { connection });
  const worker = new Worker("jobs", async (job) => job.data.n + 1, { connection });
  const job = await queue.add("n", { n: 1 });
  assert.equal((await ended(queue, job.id)).returnvalue, 2);
  await worker.close();
  await queue.close();
  client.destroy();
});
