package import NIOCore

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// The socket of a channel, to write to it beside the channel, whose own work for a write costs nearly as much as the
/// system call.
///
/// To be used on the channel's event loop, while the channel is active and has nothing of its own to write.
package struct DirectSocket {
    private let handle: NIOBSDSocket.Handle

    /// - Returns: nil for a channel that has no socket.
    package init?(of pipeline: ChannelPipeline) {
        // A channel that is closed already writes nothing, whichever way.
        let handle = try? pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { $0 }
        guard let handle else { return nil }
        self.handle = handle
    }

    /// Bytes that the peer has not acknowledged; 0 where the system does not say.
    package var unacknowledgedBytes: Int {
        var count: CInt = 0
        #if canImport(Darwin)
        var size = socklen_t(MemoryLayout<CInt>.size)
        let result = getsockopt(self.handle, SOL_SOCKET, SO_NWRITE, &count, &size)
        #else
        // SIOCOUTQ, whose name Swift does not see.
        let result = ioctl(self.handle, numericCast(TIOCOUTQ), &count)
        #endif
        return result == 0 ? Int(count) : 0
    }

    /// - Returns: how many bytes the kernel has taken; 0 also for an error, which the channel meets when it writes the rest.
    func send(_ bytes: ByteBuffer) -> Int {
        // The types of the flags differ between the C libraries.
        #if canImport(Darwin)
        // The channel has set SO_NOSIGPIPE.
        let flags: Int32 = numericCast(MSG_DONTWAIT)
        #else
        let flags: Int32 = numericCast(MSG_DONTWAIT | MSG_NOSIGNAL)
        #endif
        return bytes.withUnsafeReadableBytes { max(systemSend(self.handle, $0.baseAddress, $0.count, flags), 0) }
    }
}

/// Where the name cannot be mistaken for the method's.
private func systemSend(_ socket: Int32, _ bytes: UnsafeRawPointer?, _ count: Int, _ flags: Int32) -> Int {
    send(socket, bytes, count, flags)
}
