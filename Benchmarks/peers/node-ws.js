// The contract of `crossserver serve`, as far as the benchmarks use it, on Debian's node `ws`.
// Usage: NODE_PATH=/usr/share/nodejs node node-ws.js [PORT]
'use strict';

const { WebSocketServer } = require('ws');

const sockets = new Map();
const rooms = new Map();

function frame(event, payload) {
  return JSON.stringify({ event, payload });
}

const handlers = {
  echo: (socket, payload, reply) => reply(payload),
  joinRoom(socket, payload, reply) {
    const key = `${payload.namespace || 'chat'} ${payload.roomId}`;
    if (!rooms.has(key)) rooms.set(key, new Set());
    rooms.get(key).add(socket.id);
    socket.rooms.add(key);
    reply({ msg: 'joined', members: rooms.get(key).size });
  },
  command(socket, payload, reply) {
    const text = frame('say', { action: payload.action, msg: payload.msg });
    const members = rooms.get(`${payload.namespace || 'chat'} ${payload.roomId}`) || new Set();
    for (const id of members) sockets.get(id).send(text);
    reply({ msg: 'done' });
  },
};

const server = new WebSocketServer({ port: Number(process.argv[2] || 9000), host: '127.0.0.1', backlog: 1024 });

server.on('listening', () => console.log(`listening on 127.0.0.1:${server.address().port}`));

server.on('connection', (socket, request) => {
  socket.id = new URL(request.url, 'ws://localhost').searchParams.get('id');
  if (!socket.id) return socket.close(4011, 'Auth failure');
  socket.rooms = new Set();
  sockets.set(socket.id, socket);
  socket.on('message', (data) => {
    const text = data.toString();
    if (text === '') return socket.send('');
    const { event, payload, callbackId } = JSON.parse(text);
    const handler = handlers[event];
    if (!handler) return;
    handler(socket, payload, (answer) => {
      if (callbackId) socket.send(JSON.stringify({ payload: answer, callbackId }));
    });
  });
  socket.on('close', () => {
    sockets.delete(socket.id);
    for (const key of socket.rooms) {
      rooms.get(key).delete(socket.id);
      if (rooms.get(key).size === 0) rooms.delete(key);
    }
  });
});
