import { Worker } from "bullmq";
import { Redis } from "ioredis";

// A worker that takes a job and never ends it, so that it can be killed with it: `bullmq-worker-process.ts PORT QUEUE`. Says when it has one.

const [port, queue = ""] = process.argv.slice(2);
const connection = new Redis({ host: "127.0.0.1", port: Number(port), maxRetriesPerRequest: null });
const worker = new Worker(
  queue,
  async () => {
    console.log("active");
    await new Promise(() => {});
  },
  { connection, lockDuration: 1000, stalledInterval: 500 },
);
worker.on("error", (error) => console.error(error));
