public import NIOCore

extension WebSocketHandler {
    /// Frames of at least this many bytes are written without a copy.
    private static let separateFrameSize = 4_096

    /// Bytes that the kernel has not taken yet: ours and the channel's.
    public var waitingBytes: Int {
        self.queue.byteCount + self.flusher.frameBytes(of: self) + self.bufferedInChannel()
    }

    /// Sends a message: queues it until the end of the event loop's turn, or writes it at once where no other is expected
    /// in the turn that could be written with it.
    public func send(_ message: EncodedMessage) -> SendResult {
        guard self.isOpen else { return .closing }
        let size = message.frame.readableBytes
        if !self.hasRoom(for: size) {
            // What the kernel takes now does not wait.
            self.writeNow()
        }
        if !self.hasRoom(for: size) {
            switch self.outboundLimit.policy {
            case .dropNewest:
                self.delegate?.webSocket(self, dropped: message)
                return .dropped
            case .dropOldest:
                while !self.hasRoom(for: size), let oldest = self.queue.popFirst() {
                    self.delegate?.webSocket(self, dropped: oldest)
                }
                guard self.isOpen else { return .closing }
            case .close(let code, let reason):
                self.discardOutput()
                self.close(code: code, reason: reason)
                return .closing
            }
        }
        if self.canWriteAtOnce {
            self.write(message.frame)
            // What the kernel has not taken is flushed.
            if self.channelBytes > 0 { self.register() } else { self.flusher.schedule() }
            return .sent
        }
        if self.hasWritten || !self.queue.isEmpty { self.flusher.merged() }
        self.queue.append(message)
        self.register()
        return .sent
    }

    /// Whether a frame may go to the socket now: nothing is before it.
    private var canWriteAtOnce: Bool {
        self.flusher.expectsNoMerging && self.socket != nil && !self.hasWritten && self.queue.isEmpty
            && self.controls == nil && self.channelBytes == 0 && self.isWritable && !self.isFlushing
            && self.role == .server && self.deflate == nil && self.flusher.frameBytes(of: self) == 0
    }

    /// In the flusher's turn.
    private var hasWritten: Bool { self.lastWriteTurn == self.flusher.turn }

    /// Sends a message that goes to this peer alone.
    ///
    /// Where nothing is before it, its frame is written straight behind those that the peer gets at the end of the event
    /// loop's turn; otherwise it is queued like any other.
    ///
    /// - Parameters:
    ///   - payloadSize: of the payload in bytes, exactly.
    ///   - writing: appends the payload, and sends nothing itself.
    package func send(
        _ kind: WebSocketMessage.Kind,
        payloadSize: Int,
        writing: (inout ByteBuffer) -> Void
    ) -> SendResult {
        let size = FrameHeader.size(payloadSize: payloadSize) + payloadSize
        guard
            self.isOpen, self.isWritable, self.queue.isEmpty, self.role == .server, self.deflate == nil,
            size < Self.separateFrameSize, self.hasRoom(for: size)
        else {
            return self.send(EncodedMessage(kind: kind, payloadCapacity: payloadSize, writing: writing))
        }
        self.flusher.withFrames(of: self, room: size) { frames in
            frames.writeFrameHeader(kind == .text ? .text : .binary, payloadSize: payloadSize)
            let start = frames.writerIndex
            writing(&frames)
            precondition(frames.writerIndex - start == payloadSize, "the payload has another size than announced")
        }
        self.register()
        return .sent
    }

    /// Writes the frames that the flusher collected for this peer.
    func writeFrames() {
        guard let frames = self.flusher.takeFrames(of: self) else { return }
        self.write(frames)
    }

    /// - Parameter payload: at most 125 bytes, the rest is cut. Of pings that wait for a peer that does not read only the
    ///   newest is kept.
    public func ping(_ payload: ByteBuffer = .init()) {
        guard self.isOpen else { return }
        self.appendControl(.ping, payload)
    }

    /// Lets go of the messages that wait. To free them takes a part of the turn, as many there are.
    func discardOutput() {
        self.flusher.spend(self.queue.count >> 3)
        self.queue.removeAll()
    }

    var hasOutput: Bool {
        !self.queue.isEmpty || self.controls != nil || self.waitingClose != nil
    }

    func appendControl(_ opcode: Opcode, _ payload: ByteBuffer) {
        let controls = self.controls ?? ControlQueue(role: self.role)
        self.controls = controls
        let isBlocked = self.context == nil || !self.isWritable
        if controls.append(opcode, payload, isBlocked: isBlocked), let frames = controls.take(isBlocked: isBlocked) {
            self.write(frames)
        }
        self.register()
    }

    func register() {
        guard !self.isRegistered, self.context != nil else { return }
        self.isRegistered = true
        self.flusher.register(self)
    }

    func flushTurn() {
        self.isRegistered = false
        self.writeNow()
    }

    private func writeNow() {
        guard let context = self.context, !self.isFlushing else { return }
        self.isFlushing = true
        defer { self.isFlushing = false }
        repeat {
            self.writeControls()
            self.writeFrames()
            self.writeMessages()
            if self.queue.isEmpty, let frame = self.waitingClose {
                self.waitingClose = nil
                self.controls = nil
                self.writeClose(frame, context: context)
            }
            // Another handler may hold what it was given until the flush.
            if self.socket == nil || self.channelBytes > 0 { context.flush() }
        } while self.hasOutput && self.isWritable
        self.updateAccount()
    }

    private func writeControls() {
        guard let controls = self.controls else { return }
        if let frames = controls.take(isBlocked: !self.isWritable) {
            self.write(frames)
        }
        if controls.isEmpty { self.controls = nil }
    }

    private func writeMessages() {
        guard self.isWritable, let first = self.queue.popFirst() else { return }
        if self.queue.isEmpty, self.role == .server, self.deflate == nil {
            self.write(first.frame)
            return
        }
        var batch = self.flusher.batchScratch
        self.flusher.batchScratch = ByteBuffer()
        batch.moveReaderIndex(to: batch.writerIndex)
        var next: EncodedMessage? = first
        while let message = next {
            self.append(message, to: &batch)
            next = self.isWritable ? self.queue.popFirst() : nil
        }
        self.writeBatch(&batch)
        self.flusher.batchScratch = batch
    }

    /// Adds a frame to the batch, or writes both when it is large.
    private func append(_ message: EncodedMessage, to batch: inout ByteBuffer) {
        if let deflate = self.deflate {
            var compressed = self.flusher.deflateScratch
            self.flusher.deflateScratch = ByteBuffer()
            compressed.clear()
            let isCompressed = deflate.compress(message.payload, into: &compressed)
            self.flusher.spend(message.payload.readableBytes >> 8)
            if isCompressed {
                self.appendFrame(message.opcode, payload: compressed, isCompressed: true, to: &batch)
            }
            self.flusher.deflateScratch = compressed
            if isCompressed { return }
        }
        if self.role == .client {
            self.appendFrame(message.opcode, payload: message.payload, isCompressed: false, to: &batch)
        } else if message.frame.readableBytes >= Self.separateFrameSize {
            self.writeBatch(&batch)
            self.write(message.frame)
        } else {
            self.makeRoom(for: message.frame.readableBytes, in: &batch)
            batch.writeImmutableBuffer(message.frame)
        }
    }

    private func appendFrame(_ opcode: Opcode, payload: ByteBuffer, isCompressed: Bool, to batch: inout ByteBuffer) {
        self.makeRoom(for: FrameHeader.maximumSize + payload.readableBytes, in: &batch)
        batch.writeFrame(
            opcode,
            isCompressed: isCompressed,
            payload: payload,
            maskingKey: self.role == .client ? .random() : nil
        )
    }

    private func makeRoom(for size: Int, in batch: inout ByteBuffer) {
        if batch.readableBytes + size > WebSocketFlusher.maximumBatchSize { self.writeBatch(&batch) }
        guard batch.readableBytes == 0 else { return }
        // The channel may still hold what was written: then this takes new memory and copies nothing.
        batch.clear(minimumCapacity: max(size, min(self.queue.byteCount + size, WebSocketFlusher.maximumBatchSize)))
    }

    private func writeBatch(_ batch: inout ByteBuffer) {
        guard batch.readableBytes > 0 else { return }
        self.write(batch)
        batch.moveReaderIndex(to: batch.writerIndex)
        if batch.capacity > 2 * WebSocketFlusher.maximumBatchSize { batch = ByteBuffer() }
    }

    /// Writes to the socket what comes first in a turn, and the rest to the channel, whose flush comes at the end of it.
    private func write(_ buffer: ByteBuffer) {
        var buffer = buffer
        self.writtenBytes &+= buffer.readableBytes
        if let socket = self.socket, !self.hasWritten {
            self.lastWriteTurn = self.flusher.turn
            if self.channelBytes > 0 { self.channelBytes = self.bufferedInChannel() }
            if self.channelBytes == 0 { buffer.moveReaderIndex(forwardBy: socket.send(buffer)) }
            if buffer.readableBytes == 0 { return }
        }
        self.channelBytes += buffer.readableBytes
        self.context?.write(self.wrapOutboundOut(buffer), promise: nil)
    }

    private func hasRoom(for size: Int) -> Bool {
        let limit = self.outboundLimit.maximumWaitingBytes
        let waiting = self.queue.byteCount + self.flusher.frameBytes(of: self) + self.channelBytes
        if waiting == 0 || size <= limit - waiting { return true }
        self.writeFrames()
        self.channelBytes = self.bufferedInChannel()
        let actual = self.queue.byteCount + self.channelBytes
        return actual == 0 || size <= limit - actual
    }

    /// With what the kernel has and the peer has not acknowledged.
    var outboundState: OutboundProgress.State {
        let unacknowledged = self.context.flatMap { DirectSocket(of: $0.pipeline)?.unacknowledgedBytes } ?? 0
        let queued = self.queue.byteCount + self.flusher.frameBytes(of: self)
        return .init(
            written: self.writtenBytes + queued,
            waiting: queued + self.bufferedInChannel() + unacknowledged
        )
    }

    func bufferedInChannel() -> Int {
        // A channel without the option, or one that is closed, buffers nothing that counts.
        (try? self.context?.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }
}

extension EncodedMessage {
    fileprivate var opcode: Opcode { self.kind == .text ? .text : .binary }
}
