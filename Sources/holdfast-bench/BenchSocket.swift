// libzmq with nothing in between: what is measured is the other side.
import CZeroMQ
import Glibc

/// A call of libzmq that failed.
struct BenchFailure: Error, CustomStringConvertible {
    let description: String

    init(_ call: String) { description = "\(call): \(unsafe String(cString: zmq_strerror(zmq_errno())))" }
}

@safe
final class BenchContext {
    let raw: UnsafeMutableRawPointer

    init() {
        guard let made = unsafe zmq_ctx_new() else { preconditionFailure("zmq_ctx_new") }
        unsafe raw = made
    }
}

/// One socket and one message that is used again and again. It ends with the process.
@safe
final class BenchSocket {
    let raw: UnsafeMutableRawPointer
    private let message: UnsafeMutablePointer<zmq_msg_t>

    init(_ context: BenchContext, _ type: Int32) throws {
        guard let made = unsafe zmq_socket(context.raw, type) else { throw BenchFailure("zmq_socket") }
        unsafe raw = made
        unsafe message = .allocate(capacity: 1)
        unsafe zmq_msg_init(message)
    }

    func set(_ option: Int32, _ value: Int32) throws {
        var value = value
        if unsafe zmq_setsockopt(raw, option, &value, 4) != 0 {
            throw BenchFailure("zmq_setsockopt \(option)")
        }
    }

    func subscribe(_ prefix: String) throws {
        let result = unsafe zmq_setsockopt(raw, ZMQ_SUBSCRIBE, prefix, prefix.utf8.count)
        if result != 0 { throw BenchFailure("subscribe \(prefix)") }
    }

    func bind(_ endpoint: String) throws {
        if unsafe zmq_bind(raw, endpoint) != 0 { throw BenchFailure("bind \(endpoint)") }
    }

    func connect(_ endpoint: String) throws {
        if unsafe zmq_connect(raw, endpoint) != 0 { throw BenchFailure("connect \(endpoint)") }
    }

    /// Waits until it is sent.
    func send(_ bytes: [UInt8]) {
        _ = unsafe bytes.withUnsafeBytes { unsafe zmq_send(raw, $0.baseAddress, $0.count, 0) }
    }

    /// The next frame, valid until the next call; `nil`: none within the socket's time limit, or none now.
    func receive(wait: Bool = true) -> UnsafeRawBufferPointer? {
        while unsafe zmq_msg_recv(message, raw, wait ? 0 : ZMQ_DONTWAIT) < 0 {
            guard zmq_errno() == EINTR else { return nil }
        }
        return unsafe UnsafeRawBufferPointer(start: zmq_msg_data(message), count: zmq_msg_size(message))
    }

    /// Sends what was received last as it is, without copying it.
    func pass(to other: BenchSocket) { unsafe zmq_msg_send(message, other.raw, 0) }
}
