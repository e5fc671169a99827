// What the shared cases cannot say about how a connection ends and is made again.
'use strict';

const assert = require('node:assert/strict');
const { after, test, mock } = require('node:test');
const WebSocketConnector = require('../websocket-connector.js');
const { FakeSocket, QUICK, connected } = require('./harness.js');
const { eventually } = require('./inbox.js');
const { ScriptedServer } = require('./scripted-server.js');

// What a failed test has left must not keep the process.
after(() => setTimeout(() => process.exit(), 1_000).unref());

test('the error event says what happened', async () => {
  const server = await ScriptedServer.start('refuses', { status: 503, retryAfter: 7 });
  const client = new WebSocketConnector({ ...QUICK, url: server.url, repeatLimit: 0 });
  const failure = await new Promise((resolve) => { client.on('error', resolve); });
  assert.equal(failure.type, 'error');
  assert.equal(failure.code, 'TRY_AGAIN_LATER');
  assert.equal(failure.status, 503);
  assert.equal(failure.retryAfter, 7_000);
  assert.match(failure.message, /503/);
  assert.ok(failure.error instanceof Error);
  await server.stop();
  const unreachable = new WebSocketConnector({ ...QUICK, url: server.url, repeatLimit: 0 });
  const { code } = await new Promise((resolve) => { unreachable.on('error', resolve); });
  assert.equal(code, 'CONNECTION_FAILED');
});

test('after the repeat limit only a reset begins anew', async () => {
  const server = await ScriptedServer.start('refuses');
  const client = new WebSocketConnector({ ...QUICK, url: server.url, repeatLimit: 1 });
  const heard = [];
  for (const event of ['reconnect', 'repeat-limit', 'open']) client.on(event, () => heard.push(event));
  // A listener that asks again must not go round in circles.
  client.on('repeat-limit', () => client.reconnect());
  await eventually('the limit', () => heard.length === 2);
  assert.deepEqual(heard, ['reconnect', 'repeat-limit']);
  server.kind = 'normal';
  client.reconnect(true);
  await eventually('a connection', () => client.isOpen);
  assert.deepEqual(heard, ['reconnect', 'repeat-limit', 'reconnect', 'open']);
  client.manualClose();
  await server.stop();
});

test('a time to come again that is a date, is too long, or makes no sense', async () => {
  for (const [headers, expected] of [
    [{ 'retry-after': 'Tue, 01 Mar 2016 00:00:10 GMT', date: 'Mon, 29 Feb 2016 00:00:00 GMT' }, 86_410_000],
    [{ 'retry-after': 'Sun, 28 Feb 2016 00:00:00 GMT', date: 'Mon, 29 Feb 2016 00:00:00 GMT' }, 0],
    [{ 'retry-after': 'Tue, 01 Mar 2016 00:00:10 GMT' }, undefined],
    [{ 'retry-after': 'soon', date: 'Mon, 29 Feb 2016 00:00:00 GMT' }, undefined],
    [{ 'retry-after': '99999999999' }, 99_999_999_999_000],
    [{}, undefined],
  ]) {
    const socket = new FakeSocket();
    const client = new WebSocketConnector({ ...QUICK, url: 'ws://a', WebSocket: function () { return socket; } });
    const heard = [];
    client.on('error', ({ retryAfter }) => heard.push(retryAfter));
    client.on('reconnect', ({ timeout }) => heard.push(timeout));
    socket.listeners['unexpected-response'](null, { statusCode: 503, headers });
    client.manualClose();
    assert.equal(heard[0], expected, JSON.stringify(headers));
    // An hour at most.
    const asked = Math.min(expected ?? 0, 3_600_000);
    assert.ok(heard[1] >= asked + 10 && heard[1] <= asked + 20, `${heard[1]}`);
  }
});

test('attempts count anew after a connection that has lasted', async () => {
  let time = 1_000;
  mock.method(performance, 'now', () => time);
  const sockets = [];
  const client = new WebSocketConnector({
    ...QUICK, url: 'ws://a', WebSocket: function () { return sockets[sockets.push(new FakeSocket()) - 1]; },
  });
  try {
    const attempts = [];
    client.on('reconnect', ({ repeat }) => attempts.push(repeat));
    for (const lasts of [0, 29_999, 30_000, 0]) {
      const { length } = sockets;
      sockets.at(-1).open();
      time += lasts;
      sockets.at(-1).onclose({ code: 1008, reason: '', wasClean: true });
      client.reconnect();
      await eventually('the next attempt', () => sockets.length === length + 1);
    }
    assert.deepEqual(attempts, [1, 2, 1, 2]);
  } finally {
    client.manualClose();
    mock.restoreAll();
  }
});

test('a server that closes without an end, in a class that tells nothing', async () => {
  const sockets = [];
  const client = new WebSocketConnector({
    ...QUICK,
    url: 'ws://a',
    closeTimeout: 40,
    pingInterval: 10,
    WebSocket: function () { return sockets[sockets.push(new FakeSocket()) - 1]; },
  });
  const heard = [];
  for (const event of ['open', 'close', 'message', 'pong-timeout', 'error']) {
    client.on(event, (argument) => heard.push([event, argument?.code]));
  }
  client.on('close', () => client.reconnect());
  const [first] = sockets;
  first.open();
  first.readyState = 2;
  const { onclose, onmessage } = first;
  await eventually('the next connection', () => sockets.length === 2);
  assert.deepEqual(heard, [['open', undefined], ['close', 1006]]);
  // Whatever the first one says now is about nothing any more.
  assert.equal(first.onclose, null);
  assert.equal(first.onmessage, null);
  assert.ok(onclose && onmessage);
  sockets[1].open();
  assert.equal(client.isOpen, true);
  client.manualClose();
  sockets[1].onclose({ code: 4001, reason: '', wasClean: true });
});

test('bytes of a message that is not whole are a sign of life', async () => {
  const options = { kind: 'mute', pingInterval: 20, pongTimeout: 400 };
  await connected(options, async ({ client, server }) => {
    const heard = [];
    client.on('pong-timeout', () => heard.push('pong-timeout'));
    client.on('message', () => heard.push('message'));
    await new Promise((resolve) => { client.once('ping', resolve); });
    server.tcp.write(Buffer.from([0x81, 30]));
    for (let sent = 0; sent < 30; sent++) {
      await new Promise((resolve) => { setTimeout(resolve, 50); });
      assert.deepEqual(heard, [], `${sent}`);
      server.tcp.write('x');
    }
    await eventually('silence', () => heard.length === 2);
    assert.deepEqual(heard, ['message', 'pong-timeout']);
  });
});

for (const event of ['error', 'reconnect', 'repeat-limit']) {
  test(`closed by hand in a listener of ${event}`, async () => {
    const server = await ScriptedServer.start('refuses');
    const client = new WebSocketConnector({ ...QUICK, url: server.url, repeatLimit: 1 });
    await new Promise((resolve) => { client.on(event, () => resolve(client.manualClose())); });
    const { accepts } = server;
    await new Promise((resolve) => { setTimeout(resolve, 100); });
    assert.equal(server.accepts, accepts);
    assert.equal(client.reconnecting(), false);
    await server.stop();
  });
}

for (const event of ['close', 'error']) {
  test(`closed by hand, or connected again, in a listener of ${event} of an open connection`, async () => {
    for (const method of ['manualClose', 'reconnect']) {
      await connected({}, async ({ client, server }) => {
        const heard = [];
        for (const name of ['error', 'close', 'reconnect', 'open']) client.on(name, () => heard.push(name));
        client.on(event, () => client[method]());
        server.tcp.write(Buffer.from([0xFF, 0xFF]));
        await eventually('the close', () => heard.includes('close'));
        if (method === 'manualClose') {
          await new Promise((resolve) => { setTimeout(resolve, 100); });
          assert.deepEqual(heard, ['error', 'close']);
        } else {
          await eventually('a connection', () => client.isOpen);
          assert.deepEqual(heard.sort(), ['close', 'error', 'open', 'reconnect']);
          assert.equal(server.accepts, 2);
        }
      });
    }
  });
}

test('connected again in a listener of pong-timeout', async () => {
  await connected({ kind: 'frozen', pingInterval: 20, pongTimeout: 50 }, async ({ client, server }) => {
    const heard = [];
    for (const event of ['pong-timeout', 'close', 'reconnect', 'open']) client.on(event, () => heard.push(event));
    client.once('pong-timeout', () => {
      client.setPingInterval(60_000);
      client.reconnect();
    });
    await eventually('a connection', () => heard.includes('open'));
    assert.deepEqual(heard, ['pong-timeout', 'reconnect', 'close', 'open']);
    assert.equal(server.accepts, 2);
  });
});

test('cuts a connection whose server does not answer the close', async () => {
  const sockets = [];
  class Recorded extends require('ws') {
    constructor(...args) {
      super(...args);
      sockets.push(this);
    }
  }
  const options = { kind: 'frozen', pingInterval: 20, pongTimeout: 50, closeTimeout: 100, WebSocket: Recorded };
  await connected(options, async ({ client }) => {
    await new Promise((resolve) => { client.on('close', resolve); });
    // Within less than the 30 s after which `ws` does it.
    await eventually('the end of the connection', () => sockets[0].readyState === Recorded.CLOSED);
  });
});

test('a busy process does not miss an echo', () => connected({ pingInterval: 20, pongTimeout: 60 }, async (all) => {
  let timeouts = 0;
  all.client.on('pong-timeout', () => { timeouts += 1; });
  await new Promise((resolve) => {
    all.client.once('ping', () => {
      const end = Date.now() + 300;
      while (Date.now() < end);
      resolve();
    });
  });
  await new Promise((resolve) => { all.client.once('pong', resolve); });
  assert.equal(timeouts, 0);
}));
