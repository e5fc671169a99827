import CrossServer
import Synchronization

#if canImport(Glibc)
import Glibc
#endif

/// Answers `echo` with its payload, and `count` with how many `note` were heard.
func serve(_ adapter: WebSocketCrossServerAdapter) async throws {
    let heard = Counter()
    adapter.onCrossServerEvent("echo") { event, reply in reply?(event.payload) }
    adapter.onCrossServerEvent("note") { _, _ in heard.number.wrappingAdd(1, ordering: .relaxed) }
    adapter.onCrossServerEvent("count") { _, reply in reply?(Payload(heard.number.load(ordering: .relaxed))) }
    try await adapter.waitForBus()
    print("running")
    fflush(nil)
}

private final class Counter: Sendable {
    let number = Atomic(0)
}
