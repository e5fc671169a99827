import Synchronization

/// Adds up what has come of several messages.
final class PublicationSum: Sendable {
    private let state: Mutex<(remaining: Int, result: Result<Int?, any Error>)>
    private let completion: @Sendable (Result<Int?, any Error>) -> Void

    init(_ count: Int, _ completion: @escaping @Sendable (Result<Int?, any Error>) -> Void) {
        self.state = Mutex((count, .success(0)))
        self.completion = completion
    }

    func add(_ result: Result<Int?, any Error>) {
        let sum: Result<Int?, any Error>? = self.state.withLock { state in
            state.remaining -= 1
            switch (state.result, result) {
            case (.failure, _): break
            case (_, .failure): state.result = result
            case (.success(let sum), .success(let count)):
                state.result = .success(sum.flatMap { sum in count.map { sum + $0 } })
            }
            return state.remaining == 0 ? state.result : nil
        }
        if let sum { self.completion(sum) }
    }
}
