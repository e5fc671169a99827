import CrossServer

extension WebSocketCrossServerAdapter {
    /// The handlers that ask the whole cluster.
    func addClusterHandlers() {
        self.onWebSocketEvent("cluster") { _, _, reply in
            let servers = self.servers.map { server -> Payload in
                [
                    "name": Payload(server.name),
                    "uptime": server.uptime.seconds,
                    "connections": Payload(server.connections),
                    "rooms": Payload(server.rooms),
                    "links": Payload(server.links.map { Payload($0) }),
                    "self": Payload(server.isThisServer),
                ]
            }
            reply?(["servers": Payload(servers), "originalServers": Payload(self.originalServerCount)])
        }
    }
}

extension Duration {
    /// Whole seconds.
    fileprivate var seconds: Payload { Payload(Int(self.components.seconds)) }
}
