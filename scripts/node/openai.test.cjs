// OpenAI's own package for JavaScript, unchanged, against a real server.
//
// VERBATIM names the program to test; the models are those of MODELS_DIR, or of this checkout.

"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { after, before, test } = require("node:test");
const { Service } = require("./service.cjs");

/** What Debian 12 has is too old for it. */
const skip = Number(process.versions.node.split(".")[0]) < 20 && "OpenAI's package needs Node 20 or newer";

const SPEECH = "/usr/share/pocketsphinx/test/data/librivox";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "verbatim-openai-"));
const service = new Service(folder);
const recording = path.join(folder, "speech.mp3");
let client;

before(async () => {
  if (skip) {
    return;
  }
  const { OpenAI } = require("openai");
  await service.start();
  client = new OpenAI({ apiKey: "any", baseURL: service.url("/v1"), maxRetries: 0 });
  const list = path.join(folder, "sounds.txt");
  const sounds = fs.readdirSync(SPEECH).filter((name) => name.endsWith(".wav")).sort();
  // More than one window, so that a stream has several deltas.
  const lines = [...sounds, ...sounds, ...sounds].map((name) => `file '${path.join(SPEECH, name)}'\n`);
  fs.writeFileSync(list, lines.join(""));
  execFileSync("ffmpeg", ["-nostdin", "-v", "error", "-f", "concat", "-safe", "0", "-i", list, "-b:a", "64k", recording]);
});
after(async () => {
  if (!skip) {
    await service.kill();
  }
  fs.rmSync(folder, { recursive: true });
});

const transcribe = (options) =>
  client.audio.transcriptions.create({ file: fs.createReadStream(recording), model: "whisper-1", ...options });

test("json, verbose_json, text and subtitles have the text", { skip }, async () => {
  const { text } = await transcribe({});
  assert.match(text, /John Dashwood/);
  const verbose = await transcribe({
    response_format: "verbose_json",
    timestamp_granularities: ["word", "segment"],
  });
  assert.equal(verbose.text, text);
  assert.equal(verbose.language, "english");
  assert.equal(verbose.words.map((word) => word.word).join(" "), text);
  assert.equal(verbose.segments.map((segment) => segment.text).join("").trim(), text);
  assert.match(await transcribe({ response_format: "text" }), /John Dashwood/);
  assert.match(await transcribe({ response_format: "srt" }), /^1\n00:00:0/);
  assert.match(await transcribe({ response_format: "vtt" }), /^WEBVTT\n/);
});

test("a stream grows to the text", { skip }, async () => {
  const deltas = [];
  let done;
  for await (const event of await transcribe({ stream: true, prompt: "A novel." })) {
    if (event.type === "transcript.text.delta") {
      deltas.push(event.delta);
    } else {
      done = event;
    }
  }
  assert.ok(deltas.length > 1, `${deltas.length} deltas`);
  assert.equal(done.type, "transcript.text.done");
  assert.equal(deltas.join(""), done.text);
});

test("models are listed, and what is not there is told in their form", { skip }, async () => {
  const ids = [];
  for await (const model of client.models.list()) {
    ids.push(model.id);
  }
  assert.ok(ids.includes("whisper-1") && ids.includes("tiny.en"), ids.join());
  assert.equal((await client.models.retrieve("tiny.en")).object, "model");
  await assert.rejects(transcribe({ model: "huge" }), { status: 404, code: "model_not_found", param: "model" });
  await assert.rejects(transcribe({ response_format: "diarized_json" }), { status: 400, param: "response_format" });
});
