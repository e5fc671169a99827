import NIOCore
import NIOSSL

extension Channel {
    /// Closes the connection without waiting for the peer's consent, which TLS would do: a peer that hangs gives none.
    /// On the event loop.
    func closeNow() {
        if let tls = try? self.pipeline.syncOperations.context(handlerType: NIOSSLClientHandler.self) {  // none: no TLS
            tls.close(promise: nil)
        } else {
            self.close(promise: nil)
        }
    }
}
