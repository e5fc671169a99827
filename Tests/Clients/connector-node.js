// usage: NODE_PATH=/usr/share/nodejs node connector-node.js URL CONVERSATION…
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const WebSocketConnector = require('../../Clients/javascript/websocket-connector.js');
const { ScriptedServer } = require('../../Clients/javascript/test/scripted-server.js');
const { holdConversations } = require('./connector-conversations.js');

async function main([url, ...names]) {
  const values = fs.readFileSync(path.join(__dirname, 'json-values.txt'), 'utf8').trimEnd().split('\n');
  const nobody = await ScriptedServer.start();
  await nobody.stop();
  const servers = {};
  for (const kind of ['silent', 'frozen', 'broken']) servers[kind] = await ScriptedServer.start(kind);
  const urls = Object.fromEntries(Object.entries(servers).map(([kind, server]) => [kind, server.url]));
  await holdConversations({ WebSocketConnector, url, values, names, nobody: nobody.url, ...urls }, (line) => {
    console.log(line);
    if (!line.startsWith('ok ')) process.exitCode = 1;
  });
  await Promise.all(Object.values(servers).map((server) => server.stop()));
}

main(process.argv.slice(2));
