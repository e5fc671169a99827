// The cases that every client of the project must pass: ../../conformance/README.md
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, test, mock } = require('node:test');
const WebSocketConnector = require('../websocket-connector.js');
const { Inbox, eventually, within } = require('./inbox.js');
const { ScriptedServer } = require('./scripted-server.js');

// That of Node 22 and later tells a connection that was cut from one that has failed in another way.
delete globalThis.WebSocket;

// What a failed test has left must not keep the process.
after(() => setTimeout(() => process.exit(), 1_000).unref());

const table = JSON.parse(fs.readFileSync(path.join(__dirname, '../../conformance/cases.json'), 'utf8'));
const ALWAYS_HEARD = ['open', 'close', 'error', 'pong-timeout', 'repeat-limit', 'reconnect'];
const ID = '~[0-9a-z]{8,9}-[0-9a-z]{4}-[0-9a-z]+';

/** A connector under test with what its listeners have heard. */
class Run {
  constructor(testCase, server) {
    this.server = server;
    this.heard = new Inbox('an event of the client');
    this.requests = new Map();
    this.ids = new Map();
    this.handles = new Map();
    this.client = new WebSocketConnector({
      ...table.options,
      ...testCase.options,
      url: server.url + (testCase.path ?? ''),
      customParams: Object.fromEntries(testCase.params ?? []),
    });
    for (const event of [...ALWAYS_HEARD, ...(testCase.log ?? [])]) {
      this.client.on(event, (argument) => this.heard.push({ client: event, ...details(event, argument) }));
    }
    for (const event of testCase.listen ?? []) this.listen('on', event);
    for (const answer of testCase.answers ?? []) this.client.on(answer.event, () => answered(answer));
  }

  listen(method, event, tag) {
    return this.client[method](event, (payload) => this.heard.push(heardEvent({ event, payload, tag })), tag);
  }

  /** Every kind of step has a method. */
  async step(step) {
    const [kind] = Object.keys(step);
    await this[`perform${kind[0].toUpperCase()}${kind.slice(1)}`](step);
  }

  performDo(step) {
    const { client } = this;
    switch (step.do) {
      case 'emit': {
        const request = { pendingCalls: 0 };
        request.result = client.emitWithPromise(step.event, step.payload, {
          callbackTimeout: step.timeout,
          pendingTimeout: step.pendingTimeout,
          onPending: () => { request.pendingCalls += 1; },
        });
        this.requests.set(step.as, request);
        return;
      }
      case 'send':
        assert.equal(client.emit(step.event, step.payload), !('fails' in step));
        return;
      case 'reconnect': return client.reconnect(step.reset);
      case 'manualClose': return client.manualClose();
      case 'setPingInterval': return client.setPingInterval(step.interval, step.immediate);
      case 'on':
      case 'once':
        this.handles.set(step.handle, this.listen(step.do, step.event, step.tag));
        return;
      case 'off':
        return 'handle' in step ? client.off(this.handles.get(step.handle)) : client.off(step.event, step.tag);
      default: throw new Error(`what is ${step.do}?`);
    }
  }

  async performClient(step) {
    const { within: limit, atLeast, ...expected } = step;
    const heard = await this.heard.next(limit);
    for (const key of Object.keys(expected)) assert.deepEqual(heard[key], expected[key], JSON.stringify(heard));
    if (atLeast !== undefined) assert.ok(heard.delay >= atLeast, JSON.stringify(heard));
  }

  async performSkipTo({ skipTo, ...expected }) {
    for (;;) {
      const heard = await this.heard.next();
      if (heard.client === skipTo && Object.keys(expected).every((key) => heard[key] === expected[key])) return;
    }
  }

  async performServer(step) {
    const { server } = this;
    switch (step.server) {
      case 'sends': return server.socket.send(this.withIds(step.text));
      case 'sendsBinary': return server.socket.send(Buffer.from(step.bytes));
      case 'writes': return server.tcp.write(Buffer.from(step.bytes));
      case 'closes': return server.socket.close(step.code, step.reason);
      case 'cuts': return server.tcp.destroy();
      case 'stops': return server.stop();
      case 'starts': return server.startAgain();
      default: throw new Error(`what is ${step.server}?`);
    }
  }

  async performReceived({ received }) {
    const found = await this.server.received.next();
    const name = /\$(r\d+)/.exec(received)?.[1];
    if (name && !this.ids.has(name)) {
      const id = new RegExp(`"callbackId":"(${ID})"`).exec(found)?.[1];
      assert.ok(id, `no callback id in ${found}`);
      this.ids.set(name, id);
    }
    assert.equal(found, this.withIds(received));
  }

  async performReply({ reply, within: limit = 20_000, ...expected }) {
    const result = await within(limit, `the reply to ${reply}`, this.requests.get(reply).result);
    if ('code' in expected) {
      const error = this.withIds(expected.message);
      assert.deepEqual(result, { success: false, error, errorCode: expected.code });
    } else {
      assert.deepEqual(result, { success: true, data: expected.payload });
    }
  }

  async performPending({ pending }) {
    await eventually('onPending', () => this.requests.get(pending).pendingCalls === 1);
  }

  performNotPending({ notPending }) {
    assert.equal(this.requests.get(notPending).pendingCalls, 0);
  }

  performTarget({ target }) {
    assert.equal(this.server.target, target);
  }

  async performClosed({ closed }) {
    assert.deepEqual(await this.server.closes.next(), closed);
  }

  async performConnections({ connections }) {
    await eventually(`${connections} connections`, () => this.server.accepts === connections);
  }

  performState({ state }) {
    const { client } = this;
    const all = { open: client.isOpen, reconnecting: client.reconnecting(), pingInterval: client.getPingInterval() };
    for (const key of Object.keys(state)) assert.equal(all[key], state[key], key);
  }

  withIds(text) {
    return text.replace(/\$(r\d+)/g, (_, name) => this.ids.get(name));
  }
}

function details(event, argument) {
  switch (event) {
    case 'close': return { code: argument.code, reason: argument.reason };
    case 'error': return { code: argument.code };
    case 'reconnect': return { attempt: argument.repeat, delay: argument.timeout };
    case 'repeat-limit': return { limit: argument };
    case 'message': return { text: argument };
    default: return {};
  }
}

function heardEvent({ event, payload, tag }) {
  const heard = { client: 'event', event };
  if (payload !== undefined) heard.payload = payload;
  if (tag !== undefined) heard.tag = tag;
  return heard;
}

async function answered(answer) {
  if (answer.after) await new Promise((resolve) => { setTimeout(resolve, answer.after); });
  if (answer.throws) throw new Error('the listener has a mistake');
  if (answer.fails) throw new WebSocketConnector.RequestFailure(answer.fails.code, answer.fails.message);
  return answer.returns;
}

for (const testCase of table.cases) {
  test(testCase.name, async () => {
    // Listeners that fail are logged.
    const log = mock.method(console, 'error', () => {});
    mock.method(console, 'warn', () => {});
    const { status, retryAfter } = testCase;
    const server = await ScriptedServer.start(testCase.server, { status, retryAfter });
    const run = new Run(testCase, server);
    try {
      for (const [index, step] of testCase.steps.entries()) {
        try {
          await run.step(step);
        } catch (error) {
          error.message = `step ${index + 1}, ${JSON.stringify(step)}: ${error.message}`;
          throw error;
        }
      }
      if (!testCase.ignoresRest) assert.deepEqual(run.heard.items, [], 'more was heard');
      if (!testCase.ignoresRest && !testCase.ignoresReceived) {
        assert.deepEqual(server.received.items, [], 'more was received');
      }
    } finally {
      run.client.manualClose();
      await server.stop();
      mock.restoreAll();
    }
    const mayFail = (testCase.answers ?? []).some((answer) => answer.throws);
    assert.equal(log.mock.callCount() > 0, mayFail, 'failures are logged, and nothing else');
  });
}

for (const { name, random, waits, ...options } of table.delays) {
  test(`the wait before an attempt: ${name}`, async () => {
    mock.timers.enable(['setTimeout']);
    // 1 itself never comes.
    mock.method(Math, 'random', () => Math.min(random, 1 - Number.EPSILON));
    class Unreachable {
      constructor() {
        queueMicrotask(() => this.onerror({ message: 'unreachable' }));
      }

      close() {}
    }
    try {
      const client = new WebSocketConnector({ ...options, url: 'ws://unreachable', WebSocket: Unreachable });
      const found = [];
      client.on('reconnect', ({ timeout }) => found.push(timeout));
      for (let attempt = 1; attempt <= waits.length; attempt++) {
        await Promise.resolve();
        assert.equal(found.length, attempt);
        mock.timers.tick(found.at(-1) - 1);
        await Promise.resolve();
        assert.equal(found.length, attempt, 'too early');
        mock.timers.tick(1);
      }
      assert.deepEqual(found, waits);
      client.manualClose();
    } finally {
      mock.timers.reset();
      mock.restoreAll();
    }
  });
}
