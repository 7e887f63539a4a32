// An owned file descriptor, and the one way into a system call: it retries EINTR, tells "not now" from
// failure, and names the call that failed.
import CLinux
import Glibc

/// A file descriptor that is closed when its owner goes.
public struct Descriptor: ~Copyable, Sendable {
    public let raw: Int32

    /// Takes over an open descriptor.
    public init(owning raw: Int32) { self.raw = raw }

    deinit { close(raw) }

    /// Leaves it open, for somebody else to close.
    public consuming func release() -> Int32 {
        let raw = raw
        discard self
        return raw
    }

    /// What has come; `nil`: nothing now; 0: nothing more will.
    public func read(into buffer: inout [UInt8]) throws(SystemError) -> Int? {
        let raw = raw
        return try checkNow("read") { unsafe Glibc.read(raw, &buffer, buffer.count) }
    }
}

/// A system call that failed.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The call and what it was for: `bind 239.1.1.1:30001`.
    public var call: String
    /// The `errno` that it left.
    public var number: Int32

    public init(_ call: String, number: Int32) {
        self.call = call
        self.number = number
    }

    public var description: String { "\(call): \(SystemError.text(number))" }

    /// The kernel's words for an `errno`.
    public static func text(_ number: Int32) -> String { unsafe String(cString: strerror(number)) }
}

/// Performs a call that answers -1 on failure. EINTR is retried.
@discardableResult
func check<T: SignedInteger>(_ call: @autoclosure () -> String, _ body: () -> T) throws(SystemError) -> T {
    while true {
        let result = body()
        if result != -1 { return result }
        if errno != EINTR { throw SystemError(call(), number: errno) }
    }
}

/// Like `check`, but `nil` when the call would have had to wait.
func checkNow<T: SignedInteger>(_ call: @autoclosure () -> String, _ body: () -> T) throws(SystemError) -> T?
{
    while true {
        let result = body()
        if result != -1 { return result }
        if errno == EAGAIN || errno == EWOULDBLOCK { return nil }
        if errno != EINTR { throw SystemError(call(), number: errno) }
    }
}

/// Sets a socket option whose value is plain bytes.
func setOption<T: BitwiseCopyable>(
    _ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: T, _ name: @autoclosure () -> String
) throws(SystemError) {
    var value = value
    let size = socklen_t(MemoryLayout<T>.size)
    try check("setsockopt \(name())") { unsafe setsockopt(descriptor, level, option, &value, size) }
}

/// Reads a socket option that is an `Int32`.
func integerOption(_ descriptor: Int32, _ level: Int32, _ option: Int32) -> Int32? {
    var value: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    return unsafe getsockopt(descriptor, level, option, &value, &size) == 0 ? value : nil
}
