// One import is enough for an application: the types of messages and of the WebSocket layer are part of this API.
@_exported public import CrossServerBus
@_exported public import CrossServerWebSocket
@_exported public import CrossServerWire
