// What the shared cases cannot say: the JavaScript side of the interface.
'use strict';

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { promisify } = require('node:util');
const { after, test, mock } = require('node:test');
const WebSocketConnector = require('../websocket-connector.js');
const { QUICK, connected } = require('./harness.js');
const { eventually } = require('./inbox.js');
const { ScriptedServer } = require('./scripted-server.js');

// What a failed test has left must not keep the process.
after(() => setTimeout(() => process.exit(), 1_000).unref());

const { RequestFailure } = WebSocketConnector;

/** Sends a message and waits until it has been heard. */
async function push({ client, server }, message) {
  const heard = new Promise((resolve) => { client.once('message', resolve); });
  server.socket.send(JSON.stringify(message));
  await heard;
}

function read(file) {
  return fs.readFileSync(path.join(__dirname, '..', file), 'utf8');
}

function run(file, args, options = {}) {
  return promisify(execFile)(file, args, { cwd: path.join(__dirname, '..'), timeout: 60_000, ...options });
}

test('emit with a callback has the shapes of the original', () => connected({}, async ({ client, server }) => {
  const calls = [];
  const callback = (...args) => calls.push(args);
  assert.equal(client.emit('say', { msg: 'hi' }, callback, { onPending: () => {} }), true);
  const { callbackId } = JSON.parse(await server.received.next());
  server.socket.send(JSON.stringify({ payload: { msg: 'hello' }, callbackId }));
  await eventually('the reply', () => calls.length === 1);
  assert.deepEqual(calls[0], [null, { msg: 'hello' }]);

  client.emit('say', 1, callback, { callbackTimeout: 10 });
  const late = JSON.parse(await server.received.next()).callbackId;
  await eventually('the timeout', () => calls.length === 2);
  assert.deepEqual(calls[1], [{ error: `Is callback timeout: ${late}`, errorCode: 'CALLBACK_TIMEOUT' }, null]);

  client.emit('say', 1, callback);
  const refused = JSON.parse(await server.received.next()).callbackId;
  const error = { code: 'NO', message: 'not you' };
  server.socket.send(JSON.stringify({ payload: { error: 'not you' }, callbackId: refused, error }));
  await eventually('the failure', () => calls.length === 3);
  assert.deepEqual(calls[2], [{ error: 'not you', errorCode: 'NO' }, null]);

  client.manualClose();
  assert.equal(client.emit('say', 1, callback, null), false);
  assert.equal(calls.length, 3, 'never before emit has returned');
  await eventually('the refusal', () => calls.length === 4);
  assert.deepEqual(calls[3], [{ error: 'WebSocket is not open', errorCode: 'WS_NOT_OPEN' }, null]);
}));

test('what callbacks and onPending throw is logged', () => connected({}, async ({ client, server, logged }) => {
  const thrower = () => { throw new Error('a mistake'); };
  client.emit('a', 1, thrower, { pendingTimeout: 0, onPending: thrower });
  const { callbackId } = JSON.parse(await server.received.next());
  await eventually('the first entry', () => logged() === 1);
  server.socket.send(JSON.stringify({ callbackId }));
  await eventually('the second entry', () => logged() === 2);
  client.emit('a', 1, thrower, { callbackTimeout: 5 });
  await eventually('the third entry', () => logged() === 3);
  client.manualClose();
  client.emit('a', 1, thrower);
  await eventually('the fourth entry', () => logged() === 4);
}));

test('data that JSON cannot hold', () => connected({}, async ({ client, server }) => {
  assert.throws(() => client.emit('a', 1n), TypeError);
  assert.throws(() => client.emit(5, 'a'), TypeError);
  await assert.rejects(client.emitWithPromise('a', 1n), TypeError);
  assert.throws(() => client.emit('a', 1, () => {}, { callbackTimeout: -1 }), RangeError);
  client.emit('b');
  assert.equal(await server.received.next(), '{"event":"b"}');
}));

test('nothing is heard after closing by hand', () => connected({}, async ({ client, server }) => {
  const heard = [];
  for (const event of ['a', 'message', 'close']) client.on(event, () => heard.push(event));
  server.socket.send('{"event":"a"}');
  client.manualClose();
  await eventually('the close', () => heard.length > 0);
  assert.deepEqual(heard, ['close']);
}));

test('a listener that throws or rejects stops no other', () => connected({}, async (all) => {
  const heard = [];
  all.client.on('a', () => { throw new Error('a mistake'); });
  all.client.on('a', () => Promise.reject(new Error('another')));
  all.client.on('a', (payload) => heard.push(payload));
  await push(all, { event: 'a', payload: 1 });
  await eventually('both entries', () => all.logged() === 2);
  assert.deepEqual(heard, [1]);
}));

test('listeners are removed by function, by tag and by handle', () => connected({}, async (all) => {
  const { client } = all;
  const heard = [];
  const both = () => heard.push('both');
  client.on('a', both);
  client.once('a', both);
  await push(all, { event: 'a' });
  await push(all, { event: 'a' });
  assert.deepEqual(heard.splice(0), ['both', 'both', 'both'], 'a once listener takes no other with it');
  client.on('a', () => heard.push('zero'), 0);
  client.on('a', () => heard.push('string'), '0');
  const handle = client.on('a', () => heard.push('handle'));
  client.off('a', both);
  client.off('a', 0);
  client.off('a', null);
  await push(all, { event: 'a' });
  assert.deepEqual(heard.splice(0), ['string', 'handle']);
  handle.remove();
  handle.remove();
  client.off('a', '0');
  await push(all, { event: 'a' });
  assert.deepEqual(heard, []);
  assert.throws(() => client.on('a'), TypeError);
  assert.throws(() => client.on(5, () => {}), TypeError);
}));

test('a listener that is removed in a pass does not run in it', () => connected({}, async (all) => {
  const { client } = all;
  const heard = [];
  client.on('a', () => client.off('a', 'later'));
  client.on('a', () => heard.push('removed'), 'later');
  client.on('a', () => client.on('a', () => heard.push('added')));
  await push(all, { event: 'a' });
  assert.deepEqual(heard, []);
}));

test('a once listener of its own event runs once', () => connected({}, async (all) => {
  let count = 0;
  all.client.once('pong', () => {
    count += 1;
    all.client.setPingInterval(5, true);
  });
  all.client.setPingInterval(5, true);
  let pongs = 0;
  await new Promise((resolve) => { all.client.on('pong', () => { if (++pongs === 3) resolve(); }); });
  assert.equal(count, 1);
}));

test('arguments of the events', () => connected({ pingInterval: 10 }, async ({ client, server }) => {
  const [roundTrip] = await new Promise((resolve) => { client.on('pong', (...args) => resolve(args)); });
  assert.ok(Number.isInteger(roundTrip) && roundTrip >= 0);
  const ended = new Promise((resolve) => { client.on('close', resolve); });
  server.socket.close(4010, 'Forced logout');
  assert.deepEqual(await ended, { code: 4010, reason: 'Forced logout', wasClean: true });
  const attempt = new Promise((resolve) => { client.on('reconnect', resolve); });
  client.reconnect();
  const { repeat, timeout } = await attempt;
  assert.equal(repeat, 1);
  assert.ok(timeout >= 10 && timeout <= 20);
}));

test('refuses what a server that does not read cannot take', async () => {
  await connected({ kind: 'frozen', closeTimeout: 100, maximumWaitingBytes: 1_000_000 }, async ({ client }) => {
    const big = 'x'.repeat(100_000);
    let sent = 0;
    while (sent < 1_000 && client.emit('big', big)) sent += 1;
    assert.ok(sent > 0 && sent < 1_000, `${sent}`);
    const { errorCode } = await client.emitWithPromise('big', big);
    assert.equal(errorCode, 'OUTBOUND_FULL');
  });
});

test('bounds the requests of the server that listeners work on', async () => {
  await connected({ maximumPendingRequests: 2 }, async ({ client, server }) => {
    const waiting = [];
    client.on('slow', () => new Promise((resolve) => { waiting.push(resolve); }));
    for (const id of ['1', '2', '3']) server.socket.send(`{"event":"slow","requestId":"${id}"}`);
    assert.equal(JSON.parse(await server.received.next()).error.code, 'TOO_MANY_PENDING');
    waiting[0](5);
    assert.equal(await server.received.next(), '{"payload":5,"requestId":"1"}');
    server.socket.send('{"event":"slow","requestId":"4"}');
    await eventually('the listener', () => waiting.length === 3);
  });
});

test('answers that cannot be written, and failures', () => connected({}, async ({ client, server, logged }) => {
  client.on('bigint', () => 1n);
  client.on('failure', () => { throw new RequestFailure('NO_ROOM', 'no such room'); });
  server.socket.send('{"event":"bigint","requestId":"1"}');
  assert.equal(JSON.parse(await server.received.next()).error.code, 'INTERNAL_ERROR');
  assert.equal(logged(), 1);
  server.socket.send('{"event":"failure","requestId":"2"}');
  assert.equal(JSON.parse(await server.received.next()).error.code, 'NO_ROOM');
  server.socket.send('{"event":"failure"}');
  await eventually('the entry', () => logged() === 2);
}));

test('options are checked', () => {
  const url = 'ws://127.0.0.1:1';
  for (const options of [undefined, {}, { url: 5 }, { url: 'http://a' }, { url, pingMsg: 5 }]) {
    assert.throws(() => new WebSocketConnector(options), TypeError, JSON.stringify(options));
  }
  for (const [name, value] of Object.entries({
    pingInterval: 0, pongTimeout: -1, callbackTimeout: NaN, connectTimeout: '5', closeTimeout: 0, pendingTimeout: -1,
    fastReconnectInterval: 0, reconnectMaxInterval: 0, fastReconnectThreshold: -1, repeatLimit: 1.5,
    maximumPendingRequests: 0, maximumWaitingBytes: 0,
  })) {
    assert.throws(() => new WebSocketConnector({ url, [name]: value }), RangeError, name);
  }
  assert.throws(() => new WebSocketConnector({ url: 'ws://a b' }), { name: 'SyntaxError' });
  const client = new WebSocketConnector({ url, pingInterval: null, repeatLimit: undefined, callbackTimeout: Infinity });
  assert.equal(client.getPingInterval(), 10_000);
  client.manualClose();
});

test('the defaults', async () => {
  const delays = [];
  mock.method(globalThis, 'setTimeout', (_, delay) => { delays.push(delay); });
  const socket = { readyState: 1, bufferedAmount: 0, send() {}, close() {} };
  const client = new WebSocketConnector({ url: 'ws://a', WebSocket: function () { return socket; } });
  socket.onopen();
  client.emit('a', 1, () => {}, { onPending: () => {} });
  mock.restoreAll();
  assert.deepEqual(delays, [10_000, 10_000, 1_000, 5_000, 100]);
});

test('subprotocols are offered', async () => {
  const server = await ScriptedServer.start();
  const client = new WebSocketConnector({ ...QUICK, url: server.url, subprotocols: ['chat.v1', 'chat.v0'] });
  const event = await new Promise((resolve) => { client.on('open', resolve); });
  assert.equal(event.target.protocol, 'chat.v1');
  client.manualClose();
  await server.stop();
});

for (const [kind, close] of [
  ['normal', "client.on('open', close)"],
  ['frozen', "client.on('open', close)"],
  ['frozen', "client.on('pong-timeout', close)"],
  ['silent', 'setTimeout(close, 300)'],
  ['refuses', "client.on('reconnect', close)"],
]) {
  test(`a process ends as soon as its connector is closed: ${close} with a ${kind} server`, async () => {
    const server = await ScriptedServer.start(kind);
    const program = `
      const WebSocketConnector = require('./websocket-connector.js');
      const client = new WebSocketConnector({
        url: '${server.url}', WebSocket: require('ws'), closeTimeout: 300, pingInterval: 50, pongTimeout: 50,
        callbackTimeout: 600_000,
      });
      const close = () => client.manualClose();
      client.on('open', () => client.emit('a', 1, () => {}, { pendingTimeout: 600_000, onPending: () => {} }));
      ${close};`;
    const start = Date.now();
    await run(process.execPath, ['-e', program]);
    // Alone `ws` waits 30 s for a frozen server.
    assert.ok(Date.now() - start < 20_000, `${Date.now() - start} ms`);
    await server.stop();
  });
}

test('the forms of the module', async () => {
  const program = `
    import Default, { WebSocketConnector } from './websocket-connector.mjs';
    import { createRequire } from 'node:module';
    const required = createRequire(import.meta.url)('./websocket-connector.js');
    const names = Object.keys(globalThis).filter((name) => /connector/i.test(name));
    console.log(Default === WebSocketConnector, Default === required, Default === required.WebSocketConnector, names);`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program]);
  assert.equal(stdout, 'true true true []\n');
});

test('without any WebSocket class it says what is missing', async () => {
  const program = `
    const WebSocketConnector = require('./websocket-connector.js');
    try { new WebSocketConnector({ url: 'ws://a' }) } catch (error) { console.log(error.name, error.message) }`;
  const { stdout } = await run(process.execPath, ['-e', `globalThis.WebSocket = undefined; ${program}`], { env: {} });
  assert.match(stdout, /^TypeError .*install the package ws/);
});

test('the types', async () => {
  await run('tsc', ['--project', 'test']);
});

test('the types have the names of the code', () => {
  const declarations = read('websocket-connector.d.ts');
  const code = read('websocket-connector.js');
  const names = (text, pattern) => [...new Set([...text.matchAll(pattern)].map((match) => match[1]))].sort();
  const block = (start) => declarations.slice(declarations.indexOf(start)).split(/^ {0,2}}$/m)[0];
  assert.deepEqual(
    names(block('declare class WebSocketConnector'), /^ {2}(?:readonly )?(\w+)[<(:]/gm),
    Object.getOwnPropertyNames(WebSocketConnector.prototype).sort(),
  );
  assert.deepEqual(
    names(block('interface Options'), /^ {4}(\w+)\??:/gm),
    names(code, /@param \{.*\} \[?options\.(\w+)/g).filter((name) => name !== 'onPending'),
  );
  assert.deepEqual(
    names(block('interface SystemEvents'), /^ {4}'?([\w-]+)'?:/gm),
    names(code.slice(code.indexOf('SYSTEM_EVENTS')).split(';')[0], /'([\w-]+)'/g),
  );
});
