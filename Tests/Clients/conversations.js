// The conversations of `crossserver serve`, on the part of the WebSocket API that browsers and node's `ws` share.
'use strict';

const WAIT = 20000;

/** One connection whose messages are read in order; waiting for one that does not come fails. */
class Client {
  static async open(environment, id, query = '') {
    const client = new Client(environment, `${environment.url}/?id=${encodeURIComponent(id)}${query}`);
    await client.opened;
    await client.request('echo', '"the id is bound now"');
    return client;
  }

  constructor(environment, url) {
    this.inbox = [];
    this.requests = 0;
    this.socket = new environment.WebSocket(url);
    this.socket.binaryType = 'arraybuffer';
    this.opened = new Promise((resolve, reject) => {
      this.socket.onopen = resolve;
      this.socket.onerror = () => reject(new Error(`no connection to ${url}`));
    });
    this.opened.catch(() => {});
    this.closing = new Promise((resolve) => {
      this.socket.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean });
    });
    this.socket.onmessage = ({ data }) => {
      this.inbox.push(typeof data === 'string' ? data : `binary of ${data.byteLength} bytes`);
      this.wake?.();
    };
    environment.clients.push(this);
  }

  async next() {
    if (this.inbox.length === 0) {
      await within('a message', new Promise((resolve) => { this.wake = resolve; }));
    }
    return this.inbox.shift();
  }

  async expect(text) {
    equal(await this.next(), text);
  }

  send(data) {
    this.socket.send(data);
  }

  /** Sends a request of which the next message must be the reply; returns the reply's payload as it was written. */
  async request(event, payload) {
    const callbackId = this.ask(event, payload);
    return this.reply(callbackId);
  }

  ask(event, payload) {
    const callbackId = `request-${++this.requests}`;
    this.send(`{"event":"${event}","payload":${payload},"callbackId":"${callbackId}"}`);
    return callbackId;
  }

  async reply(callbackId) {
    const text = await this.next();
    const tail = `,"callbackId":"${callbackId}"}`;
    if (!text.startsWith('{"payload":') || !text.endsWith(tail)) {
      throw new Error(`expected the reply to ${callbackId}, got ${shorten(text)}`);
    }
    return text.slice('{"payload":'.length, -tail.length);
  }

  closed() {
    return within('the close', this.closing);
  }
}

function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${WAIT} ms for ${what}`)), WAIT);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function shorten(text) {
  return text !== undefined && text.length > 300 ? `${text.slice(0, 300)}… (${text.length} characters)` : text;
}

function equal(found, expected) {
  if (found !== expected) throw new Error(`expected ${shorten(expected)}, got ${shorten(found)}`);
}

function hasKeys(text, ...keys) {
  const object = JSON.parse(text);
  for (const key of keys) {
    if (!Object.hasOwn(object, key)) throw new Error(`no "${key}" in ${text}`);
  }
  return object;
}

/** Asks until the answer is as expected: for what the server does some time after a connection has ended. */
async function eventually(expected, ask) {
  const end = Date.now() + WAIT;
  for (;;) {
    const found = await ask();
    if (found === expected || Date.now() > end) return equal(found, expected);
  }
}

const pushed = (action, msg) => `{"event":"say","payload":{"action":"${action}","msg":${msg}}}`;

/** Shows that nothing else came to `receiver` before: what one client sends to another keeps its order. */
async function nothingElse(sender, receiver, receiverId) {
  await sender.request('command', `{"action":"toPlayer","toPlayerId":"${receiverId}","msg":"fence"}`);
  await receiver.expect(pushed('toPlayer', '"fence"'));
}

const conversations = {
  async echo(environment) {
    const a = await Client.open(environment, 'a');
    for (const value of environment.values) equal(await a.request('echo', value), value);
    const spaced = JSON.parse(await a.request('echo', ' { "a" : [ 1 ,\n2 ] } '));
    equal(JSON.stringify(spaced), '{"a":[1,2]}');
    const long = JSON.stringify('äöü👋'.repeat(20000));
    equal(await a.request('echo', long), long);
  },

  async replyBytes(environment) {
    const a = await Client.open(environment, 'a');
    a.send('{"event":"echo","payload":{"b":2,"a":1},"callbackId":"mwpq9f93-qrat-1"}');
    await a.expect('{"payload":{"b":2,"a":1},"callbackId":"mwpq9f93-qrat-1"}');
    a.send('{"callbackId":"x","unknown":[{"payload":3}],"payload":"first","event":"echo"}');
    await a.expect('{"payload":"first","callbackId":"x"}');
    a.send('{"event":"echo","callbackId":"no payload"}');
    await a.expect('{"callbackId":"no payload"}');
    a.send('{"event":"echo","payload":null,"callbackId":"null payload"}');
    await a.expect('{"payload":null,"callbackId":"null payload"}');
    a.send('{"event":"echo","payload":"nobody asked"}');
    equal(await a.request('echo', '"still here"'), '"still here"');
  },

  async say(environment) {
    const a = await Client.open(environment, 'a');
    hasKeys(await a.request('say', '{"msg":"hello"}'), 'msg');
  },

  async rooms(environment) {
    const [a, b] = [await Client.open(environment, 'a'), await Client.open(environment, 'b')];
    const members = async (client, event, payload) => hasKeys(await client.request(event, payload), 'msg', 'members').members;
    equal(await members(a, 'joinRoom', '{"roomId":"1000"}'), 1);
    equal(await members(b, 'joinRoom', '{"roomId":"1000"}'), 2);
    equal(await members(b, 'joinRoom', '{"roomId":"1000"}'), 2);
    equal(await members(b, 'joinRoom', '{"roomId":"1000","namespace":"chat"}'), 2);
    equal(await members(b, 'joinRoom', '{"roomId":"1000","namespace":"game"}'), 1);
    equal(await members(a, 'leaveRoom', '{"roomId":"1000"}'), 1);
    equal(await members(a, 'leaveRoom', '{"roomId":"1000"}'), 1);
    equal(await members(a, 'joinRoom', '{"roomId":"constructor","namespace":"__proto__"}'), 1);
    for (const event of ['joinRoom', 'leaveRoom']) {
      for (const payload of ['{}', '{"namespace":"chat"}', '"1000"', '5', 'null', '[]']) {
        hasKeys(await a.request(event, payload), 'error');
      }
    }
    b.socket.close();
    await b.closed();
    const c = await Client.open(environment, 'c');
    await eventually(1, () => members(c, 'joinRoom', '{"roomId":"1000","namespace":"game"}'));
    await eventually(1, () => members(c, 'joinRoom', '{"roomId":"1000"}'));
  },

  async broadcast(environment) {
    const [a, b, c] = [await Client.open(environment, 'a'), await Client.open(environment, 'b'), await Client.open(environment, 'c')];
    for (const value of environment.values) {
      const callbackId = a.ask('command', `{"action":"broadcast","msg":${value}}`);
      for (const client of [a, b, c]) await client.expect(pushed('broadcast', value));
      hasKeys(await a.reply(callbackId), 'msg');
    }
  },

  async toPlayer(environment) {
    const [a, b, c] = [await Client.open(environment, 'a'), await Client.open(environment, 'Sam é&+/👋'), await Client.open(environment, 'c')];
    const answer = await a.request('command', '{"action":"toPlayer","toPlayerId":"Sam é&+/👋","msg":{"deep":[1,{"x":null}]}}');
    hasKeys(answer, 'msg');
    await b.expect(pushed('toPlayer', '{"deep":[1,{"x":null}]}'));
    hasKeys(await b.request('command', '{"action":"toPlayer","toPlayerId":"a","msg":1e400}'), 'msg');
    await a.expect(pushed('toPlayer', '1e400'));
    await a.request('command', '{"action":"toPlayer","toPlayerId":"nobody","msg":1}');
    await nothingElse(a, c, 'c');
  },

  async toPlayers(environment) {
    const [a, b, c, d] = [await Client.open(environment, 'a'), await Client.open(environment, 'b'), await Client.open(environment, 'c'), await Client.open(environment, 'd')];
    hasKeys(await a.request('command', '{"action":"toPlayers","toPlayerIds":["b","c","nobody"],"msg":[1]}'), 'msg');
    await b.expect(pushed('toPlayers', '[1]'));
    await c.expect(pushed('toPlayers', '[1]'));
    for (const [client, id] of [[b, 'b'], [c, 'c'], [d, 'd']]) await nothingElse(a, client, id);
  },

  async toRoom(environment) {
    const ids = ['a', 'b', 'c', 'd'];
    const [a, b, c, d] = await Promise.all(ids.map((id) => Client.open(environment, id)));
    for (const client of [b, c, d]) await client.request('joinRoom', '{"roomId":"7"}');
    await a.request('joinRoom', '{"roomId":"7","namespace":"game"}');
    hasKeys(await a.request('command', '{"action":"toRoom","roomId":"7","msg":"chat","excludeSocketIds":["c"]}'), 'msg');
    await b.expect(pushed('toRoom', '"chat"'));
    await d.expect(pushed('toRoom', '"chat"'));
    await nothingElse(a, c, 'c');
    const callbackId = a.ask('command', '{"action":"toRoom","namespace":"game","roomId":"7","msg":"game"}');
    await a.expect(pushed('toRoom', '"game"'));
    hasKeys(await a.reply(callbackId), 'msg');
    await b.request('leaveRoom', '{"roomId":"7"}');
    await a.request('command', '{"action":"toRoom","roomId":"7","msg":"again"}');
    await c.expect(pushed('toRoom', '"again"'));
    await d.expect(pushed('toRoom', '"again"'));
    await nothingElse(a, b, 'b');
  },

  async commandErrors(environment) {
    const [a, b] = [await Client.open(environment, 'a'), await Client.open(environment, 'b')];
    for (const payload of ['{"action":"dance","msg":1}', '{"action":"constructor","msg":1}', '{"msg":1}', '{}', '{"action":5}',
      '5', '"broadcast"', 'null', '[{"action":"broadcast","msg":1}]']) {
      hasKeys(await a.request('command', payload), 'error');
    }
    await nothingElse(a, b, 'b');
  },

  async noId(environment) {
    for (const path of ['', '/', '/?name=x', '/some/path?idle=1']) {
      const { code, reason } = await new Client(environment, environment.url + path).closed();
      equal(`${code} ${reason}`, '4011 Auth failure');
    }
  },

  async sameId(environment) {
    const [first, other] = [await Client.open(environment, 'same'), await Client.open(environment, 'other')];
    await first.request('joinRoom', '{"roomId":"r"}');
    const second = await Client.open(environment, 'same');
    equal((await first.closed()).code, 4012);
    await other.request('command', '{"action":"toPlayer","toPlayerId":"same","msg":"for the second"}');
    await second.expect(pushed('toPlayer', '"for the second"'));
    equal(hasKeys(await other.request('joinRoom', '{"roomId":"r"}'), 'members').members, 2);
    await other.request('command', '{"action":"toRoom","roomId":"r","msg":"room","excludeSocketIds":["other"]}');
    await second.expect(pushed('toRoom', '"room"'));
    const third = await Client.open(environment, 'same');
    equal((await second.closed()).code, 4012);
    await nothingElse(other, third, 'same');
  },

  async heartbeat(environment) {
    const a = await Client.open(environment, 'a');
    for (let round = 0; round < 3; round++) {
      a.send('');
      await a.expect('');
    }
    equal(await a.request('echo', '1'), '1');
  },

  async binary(environment) {
    const a = await Client.open(environment, 'a');
    a.send(new TextEncoder().encode('{"event":"echo","payload":"ä","callbackId":"binary"}'));
    await a.expect('{"payload":"ä","callbackId":"binary"}');
  },

  async close(environment) {
    const a = await Client.open(environment, 'a');
    a.socket.close(4001, 'client manual close');
    const { code, wasClean } = await a.closed();
    equal(`${code} ${wasClean}`, '4001 true');
  },

  // Against a server with --heartbeat '{"type":"hb"}'.
  async heartbeatText(environment) {
    const a = await Client.open(environment, 'a');
    a.send('{"type":"hb"}');
    await a.expect('{"type":"hb"}');
    a.send('');
    equal(await a.request('echo', '1'), '1');
  },
};

/** Holds the named conversations one after the other; `report` is called with one line for each. */
async function holdConversations({ WebSocket, url, values, names, more = {} }, report) {
  const all = { ...conversations, ...more };
  for (const name of names) {
    const environment = { WebSocket, url, values, clients: [] };
    try {
      if (!Object.hasOwn(all, name)) throw new Error('there is no such conversation');
      await all[name](environment);
      report(`ok ${name}`);
    } catch (error) {
      report(`FAILED ${name}: ${error.stack ?? error}`);
    }
    for (const client of environment.clients) client.socket.close();
    await Promise.all(environment.clients.map((client) => client.closed().catch(() => {})));
  }
}

if (typeof module !== 'undefined') module.exports = { Client, holdConversations, equal };
