import WebSocketConnector = require('./websocket-connector.js');

export { WebSocketConnector };
export default WebSocketConnector;
