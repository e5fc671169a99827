import Testing

@testable import CrossServerClient

@Suite struct ConnectorStateTests {
    private static func state(repeatLimit: Int? = nil) -> ConnectorState {
        ConnectorState(
            policy: ReconnectPolicy(fastThreshold: 1, fastInterval: .seconds(1), maximumInterval: .seconds(8)),
            repeatLimit: repeatLimit
        )
    }

    private static func opened(repeatLimit: Int? = nil) -> ConnectorState {
        var state = Self.state(repeatLimit: repeatLimit)
        _ = state.start()
        state.opened()
        return state
    }

    @Test func connectsAndOpens() {
        var state = Self.state()
        #expect(state.start() == .connect)
        #expect(state.phase == .connecting)
        #expect(!state.isReconnecting)
        state.opened()
        #expect(state.phase == .open)
        #expect(state.start() == nil)
    }

    @Test func failedAttemptsWaitLongerAndAConnectionThatHoldsResetsThem() {
        var state = Self.state()
        _ = state.start()
        #expect(state.attemptFailed(random: 1) == .wait(attempt: 1, delay: .seconds(1)))
        #expect(state.isReconnecting)
        #expect(state.waited() == .connect)
        #expect(state.attemptFailed(random: 1) == .wait(attempt: 2, delay: .seconds(2)))
        _ = state.waited()
        #expect(state.isReconnecting)
        state.opened()
        #expect(!state.isReconnecting)
        #expect(state.connectionEnded(.init(isError: true), random: 1) == .wait(attempt: 3, delay: .seconds(4)))
        _ = state.waited()
        state.opened()
        let end = ConnectorState.End(isError: true, hasHeld: true)
        #expect(state.connectionEnded(end, random: 1) == .wait(attempt: 1, delay: .seconds(1)))
    }

    @Test func aConnectionThatDoesNotLastIsAnAttempt() {
        var state = Self.opened(repeatLimit: 2)
        for attempt in 1...2 {
            #expect(state.connectionEnded(.init(), random: 1) == nil)
            #expect(!state.isReconnecting)
            let wait = ConnectorState.Action.wait(attempt: attempt, delay: .seconds(attempt))
            #expect(state.reconnect(resetAttempts: false, random: 1) == wait)
            _ = state.waited()
            state.opened()
        }
        _ = state.connectionEnded(.init(), random: 1)
        #expect(state.reconnect(resetAttempts: false, random: 1) == .repeatLimit(2))
    }

    @Test func aCloseWaitsForTheApplication() {
        var state = Self.opened()
        #expect(state.connectionEnded(.init(hasHeld: true), random: 1) == nil)
        #expect(state.phase == .disconnected)
        #expect(state.reconnect(resetAttempts: false, random: 1) == .wait(attempt: 1, delay: .seconds(1)))
        #expect(state.reconnect(resetAttempts: false, random: 1) == nil)
    }

    @Test func aRefusedLoginWaitsForTheApplication() {
        var state = Self.state()
        _ = state.start()
        #expect(state.attemptFailed(.stop, random: 1) == nil)
        #expect(state.phase == .disconnected)
        #expect(!state.isReconnecting)
        #expect(state.reconnect(resetAttempts: false, random: 1) == .wait(attempt: 1, delay: .seconds(8)))
        #expect(state.reconnect(resetAttempts: true, random: 1) == .wait(attempt: 1, delay: .seconds(1)))
        _ = state.waited()
        state.opened()
        // Told by a Close frame, even if an error came with it.
        #expect(state.connectionEnded(.init(isError: true, isRefusal: true), random: 1) == nil)
        #expect(state.reconnect(resetAttempts: false, random: 1) == .wait(attempt: 2, delay: .seconds(8)))
        _ = state.waited()
        state.opened()
        _ = state.connectionEnded(.init(), random: 1)
        #expect(state.reconnect(resetAttempts: false, random: 1) == .wait(attempt: 3, delay: .seconds(4)))
    }

    @Test func otherRefusals() {
        var state = Self.state()
        _ = state.start()
        #expect(state.attemptFailed(.retryRarely, random: 1) == .wait(attempt: 1, delay: .seconds(8)))
        _ = state.waited()
        #expect(state.attemptFailed(.retry(after: .seconds(30)), random: 1) == .wait(attempt: 2, delay: .seconds(32)))
        _ = state.waited()
        #expect(state.attemptFailed(random: 1) == .wait(attempt: 3, delay: .seconds(4)))
    }

    @Test func reconnectingAnOpenConnectionClosesItFirst() {
        var state = Self.opened()
        #expect(state.reconnect(resetAttempts: false, random: 1) == .closeConnection)
        #expect(state.reconnect(resetAttempts: false, random: 1) == nil)
        #expect(state.connectionEnded(.init(hasHeld: true), random: 1) == .wait(attempt: 1, delay: .seconds(1)))
    }

    @Test func resettingReplacesTheWait() {
        var state = Self.state()
        _ = state.start()
        for _ in 1...3 {
            _ = state.attemptFailed(random: 1)
            _ = state.waited()
        }
        #expect(state.attemptFailed(random: 1) == .wait(attempt: 4, delay: .seconds(8)))
        #expect(state.reconnect(resetAttempts: true, random: 1) == .wait(attempt: 1, delay: .seconds(1)))
    }

    @Test(arguments: [0, 1, 3])
    func givesUpAtTheLimit(limit: Int) {
        var state = Self.state(repeatLimit: limit)
        _ = state.start()
        for attempt in 0..<limit {
            #expect(state.attemptFailed(random: 1) == .wait(attempt: attempt + 1, delay: .seconds(1 << attempt)))
            _ = state.waited()
        }
        #expect(state.attemptFailed(random: 1) == .repeatLimit(limit))
        #expect(state.phase == .exhausted)
        #expect(!state.isReconnecting)
        #expect(state.reconnect(resetAttempts: false, random: 1) == nil)
        let anew = state.reconnect(resetAttempts: true, random: 1)
        #expect(anew == (limit == 0 ? nil : .wait(attempt: 1, delay: .seconds(1))))
    }

    @Test func closingIsFinalFromEveryPhase() {
        var idle = Self.state()
        #expect(idle.close() == .finish)
        #expect(idle.start() == nil)

        var connecting = Self.state()
        _ = connecting.start()
        #expect(connecting.close() == .abandon)
        connecting.opened()
        #expect(connecting.phase == .finished)
        #expect(connecting.attemptFailed(random: 1) == nil)

        var waiting = Self.state()
        _ = waiting.start()
        _ = waiting.attemptFailed(random: 1)
        #expect(waiting.close() == .abandon)
        #expect(waiting.waited() == nil)

        var open = Self.opened()
        #expect(open.close() == .closeConnection)
        #expect(open.close() == nil)
        #expect(open.reconnect(resetAttempts: true, random: 1) == nil)
        #expect(open.connectionEnded(.init(isError: true), random: 1) == .finish)

        var reconnecting = Self.opened()
        _ = reconnecting.reconnect(resetAttempts: false, random: 1)
        #expect(reconnecting.close() == nil)
        #expect(reconnecting.connectionEnded(.init(), random: 1) == .finish)

        var disconnected = Self.opened()
        _ = disconnected.connectionEnded(.init(), random: 1)
        #expect(disconnected.close() == .finish)
        #expect(disconnected.close() == nil)

        var exhausted = Self.state(repeatLimit: 0)
        _ = exhausted.start()
        _ = exhausted.attemptFailed(random: 1)
        #expect(exhausted.close() == .finish)
        #expect(exhausted.reconnect(resetAttempts: true, random: 1) == nil)
    }
}
