import type { Worker } from "node:worker_threads";

// Loaded into a process with --import: SIGUSR2 ends all of its worker threads, as an error in their native code would.

process.on("worker", (worker: Worker) => void process.on("SIGUSR2", () => void worker.terminate()));
