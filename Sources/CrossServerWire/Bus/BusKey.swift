/// The keys of a message between nodes.
enum BusKey {
    case data, sender, socketID, socketIDs, roomNamespace, roomID, excludedSocketIDs, route

    /// - Parameter bytes: the key's value.
    init?(_ bytes: UnsafeRawBufferPointer) {
        let key: BusKey
        switch bytes.count {
        case 2: key = .route
        case 4: key = .data
        case 6: key = .roomID
        case 8: key = .socketID
        case 9: key = .socketIDs
        case 12: key = .sender
        case 13: key = .roomNamespace
        case 16: key = .excludedSocketIDs
        default: return nil
        }
        guard bytes.isEqual(to: key.name) else { return nil }
        self = key
    }

    var name: StaticString {
        switch self {
        case .data: "data"
        case .sender: "senderServer"
        case .socketID: "socketId"
        case .socketIDs: "socketIds"
        case .roomNamespace: "roomNamespace"
        case .roomID: "roomId"
        case .excludedSocketIDs: "excludeSocketIds"
        case .route: "rt"
        }
    }
}

/// The keys of the map that is the `data` of an event or a reply.
enum BusDataKey {
    case event, sender, payload, targets, callbackID, isCallback, error

    /// - Parameter bytes: the key's value.
    init?(_ bytes: UnsafeRawBufferPointer) {
        let key: BusDataKey
        switch (bytes.count, bytes.first) {
        case (5, _): key = bytes[1] == UInt8(ascii: "v") ? .event : .error
        case (7, _): key = .payload
        case (10, UInt8(ascii: "c")): key = .callbackID
        case (10, _): key = .isCallback
        case (12, UInt8(ascii: "s")): key = .sender
        case (12, _): key = .targets
        default: return nil
        }
        guard bytes.isEqual(to: key.name) else { return nil }
        self = key
    }

    var name: StaticString {
        switch self {
        case .event: "event"
        case .sender: "senderServer"
        case .payload: "payload"
        case .targets: "targetServer"
        case .callbackID: "callbackId"
        case .isCallback: "isCallback"
        case .error: "error"
        }
    }
}

extension UnsafeRawBufferPointer {
    func isEqual(to name: StaticString) -> Bool {
        guard self.count == name.utf8CodeUnitCount else { return false }
        for index in 0..<self.count where self[index] != name.utf8Start[index] { return false }
        return true
    }
}
