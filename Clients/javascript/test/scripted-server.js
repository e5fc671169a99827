'use strict';

const http = require('node:http');
const { WebSocketServer } = require('ws');
const { Inbox } = require('./inbox.js');

/**
 * A server that does exactly what a case says, right or wrong. `kind` is one of
 * - `normal`: accepts, and echoes empty texts;
 * - `mute`: echoes nothing;
 * - `frozen`: reads nothing after the handshake, like a stopped process;
 * - `broken`: sends what is no frame after the handshake;
 * - `silent`: accepts TCP connections and never says a word;
 * - `refuses`: answers each handshake with `status`, and asks to come again after `retryAfter` seconds.
 */
class ScriptedServer {
  static async start(kind = 'normal', options = {}) {
    const server = new ScriptedServer(kind, options);
    await server.listen(0);
    return server;
  }

  constructor(kind, { status = 503, retryAfter }) {
    this.kind = kind;
    this.refusal = `HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n`;
    if (retryAfter !== undefined) this.refusal += `Retry-After: ${retryAfter}\r\n`;
    /** TCP connections, with or without a handshake. */
    this.accepts = 0;
    /** Of the newest connection. */
    this.target = null;
    this.socket = null;
    this.received = new Inbox('a text from the client');
    this.closes = new Inbox('the end of a connection');
    this.sockets = new Set();
  }

  async listen(port) {
    this.http = http.createServer();
    this.http.on('connection', (socket) => {
      this.accepts += 1;
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
      socket.on('error', () => {});
    });
    const upgrades = new WebSocketServer({ noServer: true });
    this.http.on('upgrade', (request, socket, head) => {
      if (this.kind === 'silent') return;
      if (this.kind === 'refuses') return socket.end(`${this.refusal}\r\n`);
      upgrades.handleUpgrade(request, socket, head, (webSocket) => this.accepted(request, socket, webSocket));
    });
    await new Promise((resolve, reject) => {
      this.http.on('error', reject);
      this.http.listen(port, '127.0.0.1', resolve);
    });
    this.port = this.http.address().port;
  }

  get url() {
    return `ws://127.0.0.1:${this.port}`;
  }

  accepted(request, socket, webSocket) {
    this.target = request.url;
    this.tcp = socket;
    this.socket = webSocket;
    webSocket.on('error', () => {});
    webSocket.on('close', (code, reason) => this.closes.push({ code, reason: reason.toString() }));
    webSocket.on('message', (data, isBinary) => {
      if (isBinary || data.length > 0) {
        this.received.push(data.toString());
      } else if (this.kind === 'normal') {
        webSocket.send('');
      }
    });
    if (this.kind === 'frozen') socket.pause();
    if (this.kind === 'broken') socket.write(Buffer.from([0xF3, 0x01, 0x78]));
  }

  /** As if the process were killed: no Close frames. */
  async stop() {
    const closed = new Promise((resolve) => { this.http.close(resolve); });
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  async startAgain() {
    await this.listen(this.port);
  }
}

module.exports = { ScriptedServer };
