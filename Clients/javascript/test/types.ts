// Compiled only: what an application may write, and what it may not.
import WebSocketConnector = require('../websocket-connector');

const client = new WebSocketConnector({
  url: 'ws://127.0.0.1:9000',
  customParams: { id: 7, name: 'Sam' },
  repeatLimit: null,
  pingInterval: 5_000,
});

client.on('open', () => client.emit('hello'));
client.on('close', ({ code, reason, wasClean }) => {
  const isClean: boolean = wasClean;
  if (code !== 4001 && reason !== '' && isClean) client.reconnect();
});
client.on('reconnect', ({ repeat, timeout }) => repeat + timeout, 'tag');
client.on('pong', (roundTrip) => roundTrip.toFixed());
client.on('error', ({ code, message, error }) => [code === 'CONNECT_TIMEOUT', message.length, error.stack]);
client.on('message', (data) => typeof data === 'string');
client.on('repeat-limit', (limit) => limit.toFixed());
const handle: WebSocketConnector.ListenerHandle = client.once('pong-timeout', () => {}, 5);
handle.remove();
client.off(handle);
client.off('say');
client.off('say', 'tag');
client.off('say', () => {});

client.on<{ msg: string }>('say', ({ msg }) => msg.length);
client.on('question', async ({ text }) => {
  if (!text) throw new WebSocketConnector.RequestFailure('NO_TEXT', 'there is no text');
  return { answer: text };
});

const sent: boolean = client.emit('say', { msg: 'hi' });
client.emit<{ heardBy: number }>('say', { msg: 'hi' }, (failure, reply) => {
  if (failure) return failure.errorCode + failure.error;
  return reply.heardBy.toFixed();
}, { callbackTimeout: 1_000, pendingTimeout: 50, onPending: () => {} });

async function ask(): Promise<number> {
  const result = await client.emitWithPromise<{ heardBy: number }>('say', undefined, { onPending: () => {} });
  if (result.success) return result.data.heardBy;
  throw new Error(result.errorCode + result.error);
}

const isOpen: boolean = client.isOpen || client.reconnecting();
const interval: number = client.getPingInterval();
client.setPingInterval(interval * 2, true);
client.reconnect(true);
client.manualClose();

// @ts-expect-error a URL is needed
new WebSocketConnector({});
// @ts-expect-error an option with a wrong name
new WebSocketConnector({ url: '', heartbeat: 5 });
// @ts-expect-error the close has no status
client.on('close', ({ status }) => status);
// @ts-expect-error a result that has not succeeded has no data
ask().then(async () => (await client.emitWithPromise('a')).data);
// @ts-expect-error read only
client.isOpen = sent || isOpen;
