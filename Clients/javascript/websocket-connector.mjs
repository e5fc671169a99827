// In Node and bundlers the script's exports; in a browser, where a module cannot have them, the global that it sets.
import * as script from './websocket-connector.js';

export const WebSocketConnector = script.default ?? globalThis.WebSocketConnector;
export default WebSocketConnector;
