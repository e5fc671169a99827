#if PTHREAD_LOCKS
// The thread sanitizer does not see what the standard library's `Mutex` synchronizes on Linux and reports every use of
// it. For its sake alone the modules use this one instead: see Scripts/sanitize.

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Has the interface of `Synchronization.Mutex`, as far as it is used here.
// Safe to send: the value is only reached with the lock held.
package final class PthreadMutex<Value>: @unchecked Sendable {
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private var value: Value

    package init(_ value: sending Value) {
        self.lock = .allocate(capacity: 1)
        self.lock.initialize(to: pthread_mutex_t())
        pthread_mutex_init(self.lock, nil)
        self.value = value
    }

    deinit {
        pthread_mutex_destroy(self.lock)
        self.lock.deallocate()
    }

    package func withLock<Result, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        pthread_mutex_lock(self.lock)
        defer { pthread_mutex_unlock(self.lock) }
        return try body(&self.value)
    }
}
#endif
