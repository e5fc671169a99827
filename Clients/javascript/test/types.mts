import Default, { WebSocketConnector } from '../websocket-connector.mjs';

const client: WebSocketConnector = new Default({ url: 'ws://127.0.0.1:9000' });
client.on('close', ({ code }: WebSocketConnector.CloseInfo) => code.toFixed());
