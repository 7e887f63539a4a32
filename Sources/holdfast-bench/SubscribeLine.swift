// A subscriber that costs next to nothing: by the gateway's own ZMTP, many messages in one read. Beside libzmq's socket
// the subscriber would be the most of what is measured.
import Basics
import Glibc
import Linux
import Wire
import ZMTP

final class SubscribeLine {
    private let endpoint: String
    private let topics: [[UInt8]]
    private let socket: StreamSocket
    private var session = SubscriberSession(.plain)
    private var buffer = [UInt8](repeating: 0, count: 256 << 10)
    private var place = 0
    private var end = 0
    private var messages = MessageBatch()

    /// Waits until somebody is there.
    init(to endpoint: String, _ topics: [String]) throws {
        guard endpoint.hasPrefix("ipc://"),
            let address = ResolvedAddress(unix: String(endpoint.dropFirst("ipc://".count)))
        else { throw BenchMistake("\(endpoint): a line is at ipc://PATH") }
        self.endpoint = endpoint
        self.topics = topics.map { Array($0.utf8) }
        socket = try SubscribeLine.connect(to: address, within: .seconds(10))
        try send(session.greeting)
    }

    private static func connect(
        to address: ResolvedAddress, within patience: Duration
    ) throws -> StreamSocket {
        let end = Clock.monotonic + patience
        while true {
            do {
                return try StreamSocket(connecting: address)
            } catch {
                guard Clock.monotonic < end else { throw error }
                usleep(10_000)
            }
        }
    }

    /// Hands over each frame that comes within the time, in milliseconds.
    func receive(within patience: Int32, _ take: (UnsafeRawBufferPointer) -> Void) throws {
        var wait = pollfd(fd: socket.descriptor.raw, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&wait, 1, patience) > 0 else { return }
        guard let count = try socket.receive(into: &buffer, from: end) else { return }
        guard count > 0 else { throw BenchMistake("\(endpoint): the publisher left") }
        end += count
        var isMore = true
        while isMore {
            let item = try session.next(&messages, in: buffer, at: &place, to: end)
            isMore = item != nil || messages.isFull
            var frames = messages.take(from: &buffer)
            while let place = frames.next() {
                unsafe frames.bytes.span.extracting(place).withUnsafeBytes { unsafe take($0) }
            }
            messages.giveBack(frames, to: &buffer)
            switch item {
            case .send(let bytes): try send(bytes)
            case .opened: for topic in topics { try send(session.subscribe(topic)) }
            case .message, .nothing, nil: break
            }
        }
        for index in place..<end { buffer[index - place] = buffer[index] }
        (place, end) = (0, end - place)
    }

    private func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty { rest = rest.dropFirst(try socket.send(rest)) }
    }
}
