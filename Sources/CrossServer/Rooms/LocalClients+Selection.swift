extension LocalClients {
    func count(_ selection: ClusterQuestion.Selection) -> Int {
        self.read { registry in
            guard let namespace = selection.namespace else { return registry.members.count }
            let rooms = registry.namespaces[namespace] ?? [:]
            if let room = selection.room, !selection.isPrefix { return rooms[room]?.count ?? 0 }
            return registry.ids(in: rooms, matching: selection).count
        }
    }

    func ids(_ selection: ClusterQuestion.Selection) -> Set<String> {
        self.read { registry in
            guard let namespace = selection.namespace else { return Set(registry.members.keys) }
            return registry.ids(in: registry.namespaces[namespace] ?? [:], matching: selection)
        }
    }
}

extension Registry {
    fileprivate func ids(in rooms: [String: Room], matching selection: ClusterQuestion.Selection) -> Set<String> {
        guard let room = selection.room else { return Set(rooms.values.flatMap { $0.ids }) }
        let match = selection.isPrefix ? NameMatch.prefix : .exact
        return Set(rooms.filter { match($0.key, room) }.flatMap { $0.value.ids })
    }
}
