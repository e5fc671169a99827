'use strict';

const { mock } = require('node:test');
const WebSocketConnector = require('../websocket-connector.js');
const { ScriptedServer } = require('./scripted-server.js');

// That of Node 22 and later does not cut connections.
delete globalThis.WebSocket;

const QUICK = { fastReconnectInterval: 20, reconnectMaxInterval: 100, callbackTimeout: 60_000, pongTimeout: 20_000 };

/** Runs `body` with a server and an open connector, and shows that nothing is left of them. */
async function connected(options, body) {
  const { kind, ...rest } = options;
  const server = await ScriptedServer.start(kind);
  const client = new WebSocketConnector({ ...QUICK, ...rest, url: server.url });
  const logged = mock.method(console, 'error', () => {});
  try {
    await new Promise((resolve) => { client.once('open', resolve); });
    await body({ client, server, logged: () => logged.mock.calls.length });
  } finally {
    client.manualClose();
    await server.stop();
    mock.restoreAll();
  }
}

/** A connection of a class as browsers have it, or with listeners as `ws` has it, that does what a test says. */
class FakeSocket {
  readyState = 0;

  bufferedAmount = 0;

  listeners = {};

  on(event, listener) {
    this.listeners[event] = listener;
  }

  open() {
    this.readyState = 1;
    this.onopen({});
  }

  send() {}

  close() {}
}

module.exports = { FakeSocket, QUICK, connected };
