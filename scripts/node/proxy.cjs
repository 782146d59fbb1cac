// A proxy that cuts connections while a file is uploaded through it.

"use strict";

const net = require("node:net");

/** The ways in which a connection is cut; a number of times each, in turn. */
const WAYS = [
  /** Reset at both ends, as by a router that forgets it. */
  (client, server) => {
    client.resetAndDestroy();
    server.resetAndDestroy();
  },
  /** Closed at both ends. */
  (client, server) => {
    client.destroy();
    server.end();
  },
  /** The client is gone, and the server is not told: its connection stays open and silent. */
  (client) => client.destroy(),
];

/** Forwards connections to a port, and cuts as many of them as it is told, each after so many bytes of its client. */
class CuttingProxy {
  constructor(target, { cuts, after, onCut = () => {} }) {
    Object.assign(this, { target, cuts, after, onCut, done: 0, open: new Set() });
    this.listener = net.createServer((client) => this.forward(client));
  }

  async listen() {
    await new Promise((resolve) => this.listener.listen(0, "127.0.0.1", resolve));
    return this.listener.address().port;
  }

  forward(client) {
    const server = net.connect(this.target, "127.0.0.1");
    let left = this.done < this.cuts ? this.after : Infinity;
    for (const [socket, other] of [[client, server], [server, client]]) {
      this.open.add(socket);
      socket.on("error", () => other.destroy());
      socket.on("close", () => this.open.delete(socket));
    }
    server.on("data", (chunk) => client.writable && client.write(chunk));
    server.on("close", () => client.destroy());
    client.on("data", (chunk) => {
      const part = chunk.subarray(0, left);
      left -= part.length;
      if (!server.write(part)) {
        client.pause();
        server.once("drain", () => client.resume());
      }
      if (left === 0 && this.done < this.cuts) {
        this.cut(client, server);
      }
    });
    client.on("end", () => server.end());
  }

  cut(client, server) {
    client.removeAllListeners("data");
    server.removeAllListeners("data");
    const way = WAYS[this.done % WAYS.length];
    this.done += 1;
    // What was forwarded is to arrive first.
    server.write("", () => {
      way(client, server);
      this.onCut(this.done);
    });
  }

  close() {
    this.listener.close();
    this.open.forEach((socket) => socket.destroy());
  }
}

module.exports = { CuttingProxy };
