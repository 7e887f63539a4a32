// A peer of our sockets that is written by hand, for what no library says any more, or would not say.
import CLinux
import Glibc
import Linux
import Reactor
import Testing

@testable import Messaging
@testable import ZMTP

/// A TCP connection that speaks ZMTP by hand. While it waits, the loop goes on.
final class RawPeer {
    struct Gone: Error {}
    struct Frame: Equatable {
        var flags: ZMTPFlags
        var body: [UInt8]
    }

    private let descriptor: Int32
    private let loop: EventLoop
    private var unread: [UInt8] = []

    init(_ descriptor: Int32, _ loop: EventLoop) {
        self.descriptor = descriptor
        self.loop = loop
    }

    /// To a port of this host.
    convenience init(connectingTo endpoint: String, _ loop: EventLoop) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.init(descriptor, loop)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        address.sin_port = try #require(endpoint.split(separator: ":").last.flatMap { UInt16($0) }).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if result != 0 { throw SystemError("connect", number: errno) }
    }

    deinit { close(descriptor) }

    func send(_ bytes: [UInt8]) {
        var left = bytes[...]
        while !left.isEmpty {
            let sent = left.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard sent > 0 else { return }
            left = left.dropFirst(sent)
        }
    }

    func send(command body: [UInt8]) { send(ZMTPFrame.encode(body, .command)) }

    func take(_ count: Int) throws -> [UInt8] {
        try fill { unread.count >= count }
        defer { unread.removeFirst(count) }
        return Array(unread.prefix(count))
    }

    func frame() throws -> Frame {
        var found: (flags: ZMTPFlags, body: Range<Int>)?
        try fill {
            found = try ZMTPFrame.next(in: unread, from: 0, to: unread.count, limit: 1 << 20)
            return found != nil
        }
        let frame = try #require(found)
        defer { unread.removeFirst(frame.body.upperBound) }
        return Frame(flags: frame.flags, body: Array(unread[frame.body]))
    }

    /// Takes from the connection until there is enough; throws when it ends before.
    private func fill(until isEnough: () throws -> Bool) throws {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        for _ in 0..<800 {
            if try isEnough() { return }
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count > 0 {
                unread += buffer[..<count]
            } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
                throw Gone()
            } else {
                try loop.step(atMost: .milliseconds(5))
            }
        }
        Issue.record("nothing came")
        throw Gone()
    }
}
