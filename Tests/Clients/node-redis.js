// usage: NODE_PATH=/usr/share/nodejs node node-redis.js PORT PASSWORD
// Publishes and subscribes with Debian's node-redis; prints "fine".
'use strict';

const assert = require('node:assert');
const { createClient } = require('redis');

const [port, password] = process.argv.slice(2);
const url = (secret) => `redis://:${secret}@127.0.0.1:${port}`;

async function connect() {
  const client = createClient({ url: url(password), name: 'tester' });
  client.on('error', (error) => { throw error; });
  await client.connect();
  return client;
}

/** Listeners put what they hear here; `next` waits for it. */
function inbox() {
  const heard = [];
  const waiting = [];
  return {
    put(...seen) { waiting.length ? waiting.shift()(seen) : heard.push(seen); },
    next() { return heard.length ? heard.shift() : new Promise((resolve) => waiting.push(resolve)); },
  };
}

async function main() {
  const client = await connect();
  assert.equal(await client.ping(), 'PONG');
  assert.equal(await client.echo('hé'), 'hé');
  assert.equal(await client.clientGetName(), 'tester');
  assert.match(await client.info('replication'), /role:master/);
  await assert.rejects(client.get('key'), /unknown command/);

  const subscriber = await connect();
  const messages = inbox();
  const listener = (message, channel) => messages.put(channel, message);
  await subscriber.subscribe(['news', 'ws:chat'], listener);
  const bytes = inbox();
  await subscriber.pSubscribe('n*', (message, channel) => bytes.put(String(channel), message), true);
  assert.equal(await client.publish('news', 'hello'), 2);
  assert.deepEqual(await messages.next(), ['news', 'hello']);
  assert.deepEqual(await bytes.next(), ['news', Buffer.from('hello')]);
  const raw = Buffer.from([0, 255, 13, 10]);
  assert.equal(await client.publish('nothing', raw), 1);
  assert.deepEqual(await bytes.next(), ['nothing', raw]);
  assert.deepEqual({ ...(await client.pubSubNumSub(['news', 'none'])) }, { news: 1, none: 0 });
  assert.deepEqual((await client.pubSubChannels()).sort(), ['news', 'ws:chat']);

  // Pipelined: all in one turn of the loop.
  const counts = await Promise.all(Array.from({ length: 1000 }, (_, number) => client.publish('ws:chat', `${number}`)));
  assert(counts.every((count) => count === 1));
  for (let number = 0; number < 1000; number += 1) assert.deepEqual(await messages.next(), ['ws:chat', `${number}`]);

  // Cut off, it connects and subscribes again by itself.
  const ready = new Promise((resolve) => subscriber.once('ready', resolve));
  subscriber.removeAllListeners('error');
  subscriber.on('error', () => {});
  assert.equal(await client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub']), 1);
  await ready;
  assert.equal(await client.publish('ws:chat', 'again'), 1);
  assert.deepEqual(await messages.next(), ['ws:chat', 'again']);

  await subscriber.unsubscribe('ws:chat');
  assert.equal(await client.publish('ws:chat', 'x'), 0);
  await subscriber.quit();

  const stranger = createClient({ url: url('wrong'), socket: { reconnectStrategy: () => new Error('given up') } });
  const refusals = inbox();
  stranger.on('error', (error) => refusals.put(error.message));
  await assert.rejects(stranger.connect(), /given up/);
  assert.match((await refusals.next())[0], /WRONGPASS/);
  await client.quit();
  console.log('fine');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
