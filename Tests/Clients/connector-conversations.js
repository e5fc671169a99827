// What our JavaScript client does with `crossserver serve`, in a browser and in Node alike.
'use strict';

const WAIT = 20000;

/** Adds what has come to a list, in which `next` waits for the next one. */
class Inbox {
  constructor(what) {
    this.what = what;
    this.items = [];
    this.wake = () => {};
  }

  push(item) {
    this.items.push(item);
    this.wake();
  }

  async next() {
    if (this.items.length === 0) {
      await within(`${this.what} comes`, new Promise((resolve) => { this.wake = resolve; }));
    }
    return this.items.shift();
  }

  async expect(expected) {
    equal(await this.next(), expected);
  }
}

function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${WAIT} ms until ${what}`)), WAIT);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function equal(found, expected) {
  const [a, b] = [found, expected].map((value) => JSON.stringify(value));
  if (a !== b) throw new Error(`expected ${b}, got ${a}`);
}

/** A connector of which every event is heard: `open`, `close 4001 client manual close`, `reconnect 1` and so on. */
function connect({ WebSocketConnector, url, clients }, options = {}) {
  const client = new WebSocketConnector({ url, fastReconnectInterval: 50, ...options });
  client.heard = new Inbox('an event of the connector');
  client.said = new Inbox('the event say');
  client.on('open', () => client.heard.push('open'));
  client.on('close', ({ code, reason }) => client.heard.push(`close ${code} ${reason}`));
  client.on('error', ({ code }) => client.heard.push(`error ${code}`));
  client.on('reconnect', ({ repeat }) => client.heard.push(`reconnect ${repeat}`));
  client.on('repeat-limit', (limit) => client.heard.push(`repeat-limit ${limit}`));
  client.on('pong-timeout', () => client.heard.push('pong-timeout'));
  client.on('say', (payload) => client.said.push(payload));
  clients.push(client);
  return client;
}

async function open(environment, id, options = {}) {
  const client = connect(environment, { customParams: { id }, ...options });
  await client.heard.expect('open');
  await ask(client, 'echo', 'the id is bound now');
  return client;
}

async function ask(client, event, data) {
  const result = await client.emitWithPromise(event, data, { callbackTimeout: WAIT });
  if (!result.success) throw new Error(`${event}: ${result.errorCode} ${result.error}`);
  return result.data;
}

const conversations = {
  async replies(environment) {
    const client = await open(environment, 'Sam é&+/👋');
    for (const value of environment.values.map((text) => JSON.parse(text))) {
      equal(await ask(client, 'echo', value), value);
    }
    equal(typeof (await ask(client, 'say', { msg: 'hello' })).msg, 'string');
    const reply = await new Promise((resolve) => { client.emit('echo', [1], (...args) => resolve(args)); });
    equal(reply, [null, [1]]);
    equal(client.emit('echo', 'nobody asked'), true);
    equal(await client.emitWithPromise('echo'), { success: true, data: undefined });
  },

  async failures(environment) {
    const client = await open(environment, 'a');
    const { success, error, errorCode } = await client.emitWithPromise('there is no such event', 1);
    equal([success, typeof error, errorCode], [false, 'string', 'UNKNOWN_EVENT']);
    equal(typeof (await ask(client, 'command', { action: 'dance' })).error, 'string');
    client.manualClose();
    equal(await client.emitWithPromise('echo', 1), {
      success: false, error: 'WebSocket is not open', errorCode: 'WS_NOT_OPEN',
    });
  },

  async messages(environment) {
    const ids = ['a', 'b', 'c'];
    const [a, b, c] = await Promise.all(ids.map((id) => open(environment, id)));
    for (const client of [b, c]) await ask(client, 'joinRoom', { roomId: '7' });
    equal((await ask(a, 'joinRoom', { roomId: '7' })).members, 3);
    await ask(a, 'command', { action: 'broadcast', msg: 1 });
    for (const client of [a, b, c]) await client.said.expect({ action: 'broadcast', msg: 1 });
    await ask(a, 'command', { action: 'toRoom', roomId: '7', msg: 2, excludeSocketIds: ['c'] });
    for (const client of [a, b]) await client.said.expect({ action: 'toRoom', msg: 2 });
    await ask(a, 'command', { action: 'toPlayers', toPlayerIds: ['b', 'c'], msg: 'ä👋' });
    for (const client of [b, c]) await client.said.expect({ action: 'toPlayers', msg: 'ä👋' });
    await ask(b, 'command', { action: 'toPlayer', toPlayerId: 'a', msg: null });
    await a.said.expect({ action: 'toPlayer', msg: null });
  },

  async closes(environment) {
    const nobody = connect(environment);
    await nobody.heard.expect('open');
    await nobody.heard.expect('close 4011 Auth failure');
    equal([nobody.isOpen, nobody.reconnecting()], [false, false]);

    const first = await open(environment, 'same');
    const second = await open(environment, 'same');
    equal((await first.heard.next()).slice(0, 10), 'close 4012');
    second.manualClose();
    equal(second.isOpen, false);
    await second.heard.expect('close 4001 client manual close');
    second.reconnect();
    equal(second.heard.items, []);
  },

  async heartbeats(environment) {
    const client = await open(environment, 'a', { pingInterval: 30 });
    const pongs = new Inbox('a pong');
    client.on('pong', (roundTrip) => pongs.push(roundTrip));
    for (let count = 0; count < 3; count++) equal(Number.isInteger(await pongs.next()), true);
    equal(client.getPingInterval(), 30);
    equal(client.heard.items, []);
  },

  async reconnects(environment) {
    const client = await open(environment, 'a');
    const lost = client.emitWithPromise('echo', 1);
    client.reconnect();
    equal((await lost).errorCode, 'CONNECTION_CLOSED');
    await client.heard.expect('close 4001 client manual close');
    await client.heard.expect('reconnect 1');
    equal(client.reconnecting(), true);
    await client.heard.expect('open');
    equal(client.reconnecting(), false);
    equal(await ask(client, 'echo', 'again'), 'again');
  },

  async questions(environment) {
    const [a, b] = [await open(environment, 'a'), await open(environment, 'b')];
    b.on('question', async ({ text }) => {
      if (text !== 'how are you?') throw new environment.WebSocketConnector.RequestFailure('NO', 'I do not say');
      return { feeling: 'fine', text };
    });
    equal(await ask(a, 'askClient', { id: 'b', text: 'how are you?' }), {
      answer: { feeling: 'fine', text: 'how are you?' },
    });
    equal((await ask(a, 'askClient', { id: 'b', text: 'who are you?' })).error, 'I do not say');
    equal(typeof (await ask(b, 'askClient', { id: 'a', text: 'how are you?' })).error, 'string');
  },

  async unreachable(environment) {
    const client = connect({ ...environment, url: environment.nobody }, { repeatLimit: 1 });
    for (const event of ['error CONNECTION_FAILED', 'reconnect 1', 'error CONNECTION_FAILED', 'repeat-limit 1']) {
      await client.heard.expect(event);
    }
    const closed = connect({ ...environment, url: environment.nobody });
    closed.manualClose();
    await closed.heard.expect('close 4001 client manual close');
    const silent = connect({ ...environment, url: environment.silent }, { connectTimeout: 100, repeatLimit: 0 });
    await silent.heard.expect('error CONNECT_TIMEOUT');
    await silent.heard.expect('repeat-limit 0');
  },

  async frozen(environment) {
    const client = connect({ ...environment, url: environment.frozen }, { pingInterval: 30, pongTimeout: 100 });
    client.on('close', () => {
      client.setPingInterval(600000);
      client.reconnect();
    });
    await client.heard.expect('open');
    const start = Date.now();
    for (const event of ['pong-timeout', 'close 4002 pong timeout', 'reconnect 1', 'open']) {
      await client.heard.expect(event);
    }
    equal(Date.now() - start < 5000, true);
  },

  async brokenProtocol(environment) {
    const client = connect({ ...environment, url: environment.broken });
    await client.heard.expect('open');
    await client.heard.expect('error CONNECTION_FAILED');
    equal((await client.heard.next()).slice(0, 6), 'close ');
    await client.heard.expect('reconnect 1');
    await client.heard.expect('open');
  },

  // Against a server with --heartbeat '{"type":"hb"}'.
  async heartbeatText(environment) {
    const client = await open(environment, 'a', { pingInterval: 30, pingMsg: '{"type":"hb"}' });
    const pongs = new Inbox('a pong');
    client.on('pong', (roundTrip) => pongs.push(roundTrip));
    await pongs.next();
    await pongs.next();
  },
};

/** Holds the named conversations one after the other; `report` is called with one line for each. */
async function holdConversations({ names, ...rest }, report) {
  for (const name of names) {
    const environment = { ...rest, clients: [] };
    try {
      if (!Object.hasOwn(conversations, name)) throw new Error('there is no such conversation');
      await conversations[name](environment);
      report(`ok ${name}`);
    } catch (error) {
      report(`FAILED ${name}: ${error.stack ?? error}`);
    }
    for (const client of environment.clients) client.manualClose();
  }
}

if (typeof module !== 'undefined') module.exports = { holdConversations };
