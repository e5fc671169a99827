import Foundation
import Synchronization

/// The terminal in raw mode: every key comes at once, and nothing is echoed.
///
/// The mode is given back by ``restore()``, and at the latest when the process exits.
enum RawTerminal {
    private static let original = Mutex<termios?>(nil)

    static var isPossible: Bool { isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1 }

    static func enter() throws {
        var mode = termios()
        guard tcgetattr(STDIN_FILENO, &mode) == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        let isFirst = self.original.withLock { original in
            defer { original = mode }
            return original == nil
        }
        if isFirst { atexit { RawTerminal.restore() } }
        cfmakeraw(&mode)
        // A line feed on output still begins a new line.
        mode.c_oflag |= tcflag_t(OPOST | ONLCR)
        guard tcsetattr(STDIN_FILENO, TCSADRAIN, &mode) == 0 else {
            throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
        }
    }

    static func restore() {
        self.original.withLock { original in
            guard var mode = original else { return }
            tcsetattr(STDIN_FILENO, TCSADRAIN, &mode)
        }
    }

    /// 80 when the terminal does not tell.
    static var columns: Int {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }
}

/// Writes to a descriptor until all is out.
func writeAll(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { bytes in
        var rest = UnsafeRawBufferPointer(bytes)
        while let start = rest.baseAddress, !rest.isEmpty {
            let count = write(descriptor, start, rest.count)
            if count > 0 {
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            } else if errno == EAGAIN {
                var descriptors = [pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)]
                poll(&descriptors, 1, 1_000)
            } else if errno != EINTR {
                return
            }
        }
    }
}
