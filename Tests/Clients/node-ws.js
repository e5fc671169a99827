// usage: NODE_PATH=/usr/share/nodejs node node-ws.js URL CONVERSATION…
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { WebSocket } = require('ws');
const { Client, holdConversations, equal } = require('./conversations.js');

const more = {
  async fragments(environment) {
    const a = await Client.open(environment, 'a');
    const message = Buffer.from('{"event":"echo","payload":"frägments 👋","callbackId":"fragments"}');
    for (const size of [1, 7, 40]) {
      for (let start = 0; start < message.length; start += size) {
        const last = start + size >= message.length;
        a.socket.send(message.subarray(start, start + size), { binary: false, fin: last });
        if (!last) a.socket.ping();
      }
      await a.expect('{"payload":"frägments 👋","callbackId":"fragments"}');
    }
  },

  async pingPong(environment) {
    const a = await Client.open(environment, 'a');
    const pong = new Promise((resolve) => a.socket.once('pong', resolve));
    a.socket.ping('are you there?');
    equal((await pong).toString(), 'are you there?');
  },
};

const [url, ...names] = process.argv.slice(2);
const values = fs.readFileSync(path.join(__dirname, 'json-values.txt'), 'utf8').trimEnd().split('\n');
holdConversations({ WebSocket, url, values, names, more }, (line) => {
  console.log(line);
  if (!line.startsWith('ok ')) process.exitCode = 1;
});
