#if PTHREAD_LOCKS
import CrossServerWire

typealias Mutex = PthreadMutex
#endif
