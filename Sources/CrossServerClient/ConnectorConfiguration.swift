public import CrossServerWebSocket
public import HTTPTypes
public import NIOSSL

extension WebSocketConnector {
    /// How a connector behaves.
    public struct Configuration: Sendable {
        /// Time between heartbeats. The first goes out this long after the connection has opened. 10 s.
        public var pingInterval: Duration = .seconds(10)
        /// How long nothing at all may come while the echo of a heartbeat is awaited. Beyond: `pongTimeout`, and the
        /// connection is closed with 4002. Not counted while slow listeners keep the connector from reading. 2 s.
        public var pongTimeout: Duration = .seconds(2)
        /// The text of a heartbeat; the server's must be the same. Empty.
        public var pingMessage = ""
        /// Attempts to connect again that come at ``fastReconnectInterval``; then the wait doubles with each. 3.
        public var fastReconnectThreshold = 3
        /// The wait before each of the first attempts. 3 s. Every wait is shortened by a random share of up to a half.
        /// Attempts count from the beginning again after a connection that has lasted 30 s.
        public var fastReconnectInterval: Duration = .seconds(3)
        /// The longest wait between attempts, unless the server asks for more (Retry-After, up to an hour). 120 s.
        public var reconnectMaximumInterval: Duration = .seconds(120)
        /// Attempts to connect again, without a connection that lasts, before the connector gives up. Without bound unless
        /// one is set.
        public var repeatLimit: Int?
        /// How long a reply may take, if the call says nothing else. 5 s.
        public var callbackTimeout: Duration = .seconds(5)
        /// How long a reply may take before `onPending` is called, if the call says nothing else. 100 ms.
        public var pendingTimeout: Duration = .milliseconds(100)
        /// From the name's resolution to the end of the handshake. Beyond: the attempt has failed. 10 s.
        public var connectTimeout: Duration = .seconds(10)
        /// How long a closing connection waits for the server's answer. Beyond: it is cut. 2 s.
        public var closeTimeout: Duration = .seconds(2)
        /// Bytes of one message, after inflating. Beyond: close 1009. 1 MiB.
        public var maximumMessageSize = 1 << 20
        /// Requests that may wait for their reply. Beyond: the error `tooManyPending`. 1,024.
        public var maximumPendingRequests = 1_024
        /// Bytes that may wait to be sent. Beyond: the error `outboundFull`. A single message is always taken when
        /// nothing waits. 1 MiB.
        public var maximumWaitingBytes = 1 << 20
        /// Asynchronous listeners that may run at once. Beyond: what comes waits until one has ended. 256.
        public var maximumRunningListeners = 256
        /// Messages that wait for their listeners. Beyond: the connector stops reading until half of them are done. While
        /// a reply is awaited it reads on, up to four times as many. 1,024.
        public var maximumQueuedMessages = 1_024
        /// Bytes of messages that wait for their listeners, or that asynchronous ones work on. Beyond: as above. 4 MiB.
        public var maximumQueuedBytes = 4 << 20
        /// For `wss://`: trust roots, a client certificate and so on. The system's roots and full verification when nil.
        /// The certificate must name the URL's host, or the address that the connection went to.
        public var tls: TLSConfiguration?
        /// Offers permessage-deflate (RFC 7692). Not offered by default.
        public var compression: PerMessageDeflate?
        /// Further fields of the handshake. Those of the handshake itself are left out.
        public var headers = HTTPFields()
        /// The subprotocols that are offered, the favourite first. None.
        public var subprotocols: [String] = []

        public init() {}

        func validate() throws(WebSocketConnectorError) {
            let durations = [
                ("pingInterval", self.pingInterval), ("pongTimeout", self.pongTimeout),
                ("fastReconnectInterval", self.fastReconnectInterval),
                ("reconnectMaximumInterval", self.reconnectMaximumInterval),
                ("callbackTimeout", self.callbackTimeout), ("connectTimeout", self.connectTimeout),
                ("closeTimeout", self.closeTimeout),
            ]
            for (name, duration) in durations where duration <= .zero {
                throw WebSocketConnectorError(.invalidConfiguration, "\(name) must be longer than zero")
            }
            let counts = [
                ("maximumMessageSize", self.maximumMessageSize),
                ("maximumPendingRequests", self.maximumPendingRequests),
                ("maximumWaitingBytes", self.maximumWaitingBytes),
                ("maximumRunningListeners", self.maximumRunningListeners),
                ("maximumQueuedMessages", self.maximumQueuedMessages),
                ("maximumQueuedBytes", self.maximumQueuedBytes),
            ]
            for (name, count) in counts where count <= 0 {
                throw WebSocketConnectorError(.invalidConfiguration, "\(name) must be larger than zero")
            }
            if self.fastReconnectThreshold < 0 || (self.repeatLimit ?? 0) < 0 {
                throw WebSocketConnectorError(
                    .invalidConfiguration,
                    "fastReconnectThreshold and repeatLimit must not be negative"
                )
            }
        }
    }
}
