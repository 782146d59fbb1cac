// A real server with a database and a folder of its own, which can be killed and started again.

"use strict";

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");
const { setTimeout: sleep } = require("node:timers/promises");

const ROOT = path.resolve(__dirname, "../..");

async function freePort() {
  const listener = net.createServer();
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address();
  await new Promise((resolve) => listener.close(resolve));
  return port;
}

/** Asks until it gives something that counts; fails after some minutes. */
async function eventually(what, ask) {
  const deadline = Date.now() + 180_000;
  for (;;) {
    const answer = await ask().catch(() => undefined);
    if (answer) {
      return answer;
    }
    if (Date.now() > deadline) {
      throw new Error(`waited in vain for ${what}`);
    }
    await sleep(50);
  }
}

class Service {
  constructor(folder) {
    this.folder = folder;
    this.uploads = path.join(folder, "data", "uploads");
  }

  async start() {
    this.port ??= await freePort();
    const settings = {
      PORT: String(this.port),
      DATA_DIR: path.join(this.folder, "data"),
      DATABASE_PATH: path.join(this.folder, "jobs.db"),
      MODELS_DIR: process.env.MODELS_DIR || path.join(ROOT, "models"),
      WHISPER_MODEL: "tiny.en",
      LOG_LEVEL: "warn",
    };
    const environment = { ...process.env, ...settings };
    this.child = spawn(process.env.VERBATIM, ["serve"], { env: environment, stdio: "inherit" });
    this.ended = new Promise((resolve) => this.child.once("exit", resolve));
    await eventually("the server", async () => (await fetch(this.url("/health"))).ok);
  }

  /** As `kill -9`. */
  async kill() {
    this.child.kill("SIGKILL");
    await this.ended;
  }

  url(where) {
    return `http://127.0.0.1:${this.port}${where}`;
  }

  /** Waits until a job has completed, and gives its result. */
  async result(job) {
    const answer = await eventually("the result", async () => {
      const response = await fetch(this.url(`/result/${job}`));
      return response.status === 202 ? undefined : { status: response.status, body: await response.json() };
    });
    if (answer.status !== 200) {
      throw new Error(`${answer.status}: ${JSON.stringify(answer.body)}`);
    }
    return answer.body.result;
  }

  /** Waits until no file of an upload is left. */
  async untilEmpty() {
    await eventually("the uploads to be gone", async () => fs.readdirSync(this.uploads).length === 0);
  }
}

module.exports = { Service };
