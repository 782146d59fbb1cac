// The official client of the tus protocol, tus-js-client, uploads a real video to a real server over a line that is cut
// fifty times, while the server is killed once in between.
//
// VERBATIM names the program to test; the models are those of MODELS_DIR, or of this checkout. VERBATIM_UPLOAD_MB says
// how large the file is, 64 MB unless it does.

"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const { createHash } = require("node:crypto");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { PassThrough } = require("node:stream");
const { pipeline } = require("node:stream/promises");
const { after, before, test } = require("node:test");
const tus = require("tus-js-client");

const { CuttingProxy } = require("./proxy.cjs");
const { Service } = require("./service.cjs");

const CUTS = 50;
const BYTES = Number(process.env.VERBATIM_UPLOAD_MB || 64) * 1e6;

/** A sentence about Mr. John Dashwood: 16-bit samples at 16 kHz behind a head of 44 bytes. */
const SPEECH = "/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0870.wav";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "verbatim-tus-"));
const service = new Service(folder);

before(() => service.start());
after(async () => {
  await service.kill();
  fs.rmSync(folder, { recursive: true });
});

/** The sentence with a moving picture of raw pixels, so that the file has about so many bytes. */
function video(name, bytes) {
  const [width, height] = [1280, 720];
  const seconds = (fs.statSync(SPEECH).size - 44) / 32_000;
  const rate = Math.max(1, Math.round((bytes / seconds / (width * height * 3)) * 1000));
  const file = path.join(folder, name);
  const picture = `testsrc2=size=${width}x${height}:rate=${rate}/1000`;
  const options = ["-c:v", "rawvideo", "-pix_fmt", "bgr24", "-c:a", "pcm_s16le", "-t", String(seconds)];
  const inputs = ["-f", "lavfi", "-i", picture, "-i", SPEECH];
  execFileSync("ffmpeg", ["-nostdin", "-v", "error", ...inputs, ...options, file]);
  return file;
}

async function sha256(file) {
  const hash = createHash("sha256");
  await pipeline(fs.createReadStream(file), hash);
  return hash.digest("hex");
}

/** Uploads to the end. Gives the upload, or fails as the client does. `watch` is told the address of the upload. */
function upload(source, options, watch = () => {}) {
  return new Promise((resolve, reject) => {
    const started = new tus.Upload(source, {
      endpoint: service.url("/uploads"),
      metadata: { filename: "dashwood.avi", filetype: "video/x-msvideo", language: "en" },
      onUploadUrlAvailable: () => watch(started.url),
      onError: reject,
      onSuccess: () => resolve(started),
      ...options,
    });
    started.start();
  });
}

const jobOf = (started) => started.url.split("/").pop();

async function assertHeard(job) {
  const result = await service.result(job);
  assert.match(result.transcript, /John Dashwood/);
  assert.equal(result.source_type, "video");
  await service.untilEmpty();
}

test(`a file of ${BYTES / 1e6} MB arrives whole over a line that is cut ${CUTS} times`, async () => {
  const file = video("large.avi", BYTES);
  const size = fs.statSync(file).size;
  const kept = path.join(folder, "kept");
  const addresses = new Set();
  let restarted;
  const proxy = new CuttingProxy(service.port, {
    cuts: CUTS,
    after: Math.floor(size / (CUTS + 2)),
    onCut: (cut) => {
      if (cut === 1) {
        // Another name of the upload's bytes, which stays when its job has ended.
        fs.linkSync(path.join(service.uploads, `${[...addresses][0].split("/").pop()}.upload`), kept);
      } else if (cut === CUTS / 2) {
        restarted = service.kill().then(() => service.start());
      }
    },
  });
  const port = await proxy.listen();
  const begun = Date.now();
  const options = {
    endpoint: `http://127.0.0.1:${port}/uploads`,
    // The first four are the client's own; the others are for a server that takes its time to start again.
    retryDelays: [0, 1000, 3000, 5000, 10_000, 20_000],
  };
  const started = await upload(fs.createReadStream(file), options, (address) => addresses.add(address));
  const seconds = (Date.now() - begun) / 1000;
  proxy.close();
  await restarted;
  assert.equal(proxy.done, CUTS);
  assert.equal(addresses.size, 1, "the client never had to begin anew");
  assert.equal(await sha256(kept), await sha256(file));
  console.log(`${size / 1e6} MB, cut ${proxy.done} times, in ${seconds.toFixed(1)} s`);
  fs.rmSync(kept);
  await assertHeard(jobOf(started));
});

test("a client that was started anew goes on where the one before it was stopped", async () => {
  const file = video("small.avi", 4e6);
  const urlStorage = new tus.FileUrlStorage(path.join(folder, "urls.json"));
  const before = new tus.Upload(fs.createReadStream(file), {
    endpoint: service.url("/uploads"),
    metadata: { filename: "small.avi" },
    chunkSize: 1e6,
    urlStorage,
  });
  await new Promise((resolve, reject) => {
    before.options.onChunkComplete = () => resolve(before.abort());
    before.options.onError = reject;
    before.start();
  });
  const offsets = [];
  const resumed = await new Promise((resolve, reject) => {
    const next = new tus.Upload(fs.createReadStream(file), {
      endpoint: service.url("/uploads"),
      urlStorage,
      onProgress: (sent) => offsets.push(sent),
      onError: reject,
      onSuccess: () => resolve(next),
    });
    next.findPreviousUploads().then(([previous]) => {
      next.resumeFromPreviousUpload(previous);
      next.start();
    }, reject);
  });
  assert.equal(resumed.url, before.url);
  assert.ok(offsets[0] >= 1e6, `it began at ${offsets[0]}`);
  await assertHeard(jobOf(resumed));
});

test("all ways in which the client can send a file make a job", async () => {
  const file = video("ways.avi", 3e6);
  const unknown = () => fs.createReadStream(file).pipe(new PassThrough());
  for (const [source, options] of [
    [fs.createReadStream(file), { uploadDataDuringCreation: true }],
    [fs.createReadStream(file), { overridePatchMethod: true, chunkSize: 1e6 }],
    [unknown(), { uploadLengthDeferred: true, chunkSize: 1e6 }],
    [fs.readFileSync(file), {}],
  ]) {
    await assertHeard(jobOf(await upload(source, options)));
  }
});

test("an upload that is given up is removed", async () => {
  const file = video("given-up.avi", 3e6);
  const started = new tus.Upload(fs.createReadStream(file), { endpoint: service.url("/uploads"), chunkSize: 1e6 });
  await new Promise((resolve, reject) => {
    started.options.onChunkComplete = () => resolve(started.abort(true));
    started.options.onError = reject;
    started.start();
  });
  assert.deepEqual(fs.readdirSync(service.uploads), []);
});

test("a file that is not media is refused with a sentence, and not sent again", async () => {
  let begun = 0;
  const options = { metadata: { filename: "words.txt" } };
  const refused = upload(Buffer.from("These are words, and no sound."), options, () => (begun += 1));
  await assert.rejects(refused, (error) => {
    assert.equal(error.originalResponse.getStatus(), 400);
    assert.match(JSON.parse(error.originalResponse.getBody()).detail, /not audio or video/);
    return true;
  });
  assert.equal(begun, 1);
  assert.deepEqual(fs.readdirSync(service.uploads), []);
});
