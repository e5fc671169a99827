import NIOCore

/// The wanted channels by their bytes, so that a message needs no new string for its channel.
struct ChannelNames {
    private var names: [ByteBuffer: String] = [:]
    /// That of the last message: most often the next is of the same channel.
    private var lastBytes = ByteBuffer()
    private var lastName: String?

    mutating func insert(_ name: String) {
        self.names[ByteBuffer(string: name)] = name
    }

    mutating func remove(_ name: String) {
        self.names[ByteBuffer(string: name)] = nil
        self.lastBytes = ByteBuffer()
        self.lastName = nil
    }

    mutating func name(of bytes: ByteBuffer) -> String? {
        if self.lastBytes == bytes, let lastName = self.lastName { return lastName }
        guard let index = self.names.index(forKey: bytes) else { return nil }
        // Not the bytes that were given: they would keep all that was read with them.
        let (bytes, name) = self.names[index]
        self.lastBytes = bytes
        self.lastName = name
        return name
    }
}
