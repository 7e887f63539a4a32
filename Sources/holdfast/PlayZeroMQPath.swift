// One sequenced ZeroMQ path of `holdfast play`: an XPUB that answers each subscription with where its topics
// stand, repeats that for topics that have been idle, and sends heartbeats.
import Basics
import FeedProtocols
import Linux
import Messaging
import Reactor

final class PlayZeroMQPath {
    static let heartbeatEvery = Duration.milliseconds(100)
    private static let idleAfter = Duration.seconds(1)
    /// The longest subscription that is heard, in bytes.
    private static let longestSubscription: Int64 = 4096

    private let endpoint: String
    private let socket: Socket
    private var source: SocketSource?
    private let encoder: SequencedFrameEncoder
    private var loss: PlayLoss
    private var errors = PlaySendErrors()
    private var sentAt: [Instant] = []
    private var frame = ByteWriter(capacity: 512)
    private(set) var messages: UInt64 = 0
    private(set) var bytes: UInt64 = 0
    private var subscriptions: UInt64 = 0
    private var malformed: UInt64 = 0

    /// - Parameter onSubscription: called with the prefix of each subscription.
    init(
        _ endpoint: String, _ context: MessagingContext, _ loop: EventLoop, session: UInt64, drop: Double,
        seed: UInt64, onSubscription: @escaping (PlayZeroMQPath, ArraySlice<UInt8>) -> Void
    ) throws(PlayFailure) {
        self.endpoint = endpoint
        encoder = SequencedFrameEncoder(session: session)
        loss = PlayLoss(ratio: drop, seed: seed, path: endpoint)
        do throws(MessagingError) {
            socket = try PlayZeroMQPath.bound(endpoint, context)
        } catch {
            throw PlayFailure(error, for: "--zeromq \(endpoint)")
        }
        do throws(SystemError) {
            source = try SocketSource(loop, socket, onError: { [unowned self] _ in malformed += 1 }) {
                [unowned self] message in
                if let prefix = subscription(message) { onSubscription(self, prefix) }
            }
        } catch {
            throw PlayFailure(error, for: "--zeromq \(endpoint)")
        }
    }

    private static func bound(_ endpoint: String, _ context: MessagingContext) throws(MessagingError)
        -> Socket
    {
        let socket = try Socket(context, .xpub)
        try socket.set(.xpubVerboser)
        try socket.set(.maximumMessageSize(longestSubscription))
        try socket.set(.sendHighWaterMark(100_000))
        // So that the last messages of a stream leave before the program does.
        try socket.set(.linger(500))
        try socket.bind(endpoint)
        return socket
    }

    private func subscription(_ message: Socket.Message) -> ArraySlice<UInt8>? {
        guard message.frames.count == 1, let kind = message.frames[0].first, kind <= 1 else {
            malformed += 1
            return nil
        }
        guard kind == 1 else { return nil }
        subscriptions += 1
        return message.frames[0].dropFirst()
    }

    /// Sends a topic's next message, or loses it on purpose.
    func send(
        _ payload: [UInt8], topic: [UInt8], index: Int, sequence: UInt64, due: WallTime, at now: Instant
    ) {
        note(index, at: now)
        guard !loss.dropsNext() else { return }
        write(.data, topic, sequence, due, payload, at: now)
        messages += 1
    }

    /// Says where a topic stands, now.
    func sendIdle(topic: [UInt8], index: Int?, sequence: UInt64, wall: WallTime, at now: Instant) {
        if let index { note(index, at: now) }
        write(.idle, topic, sequence, wall, [], at: now)
    }

    func sendHeartbeat(wall: WallTime, at now: Instant) {
        let kind = SequencedFrame.Kind.heartbeat(every: PlayZeroMQPath.heartbeatEvery)
        write(kind, SequencedFrame.heartbeatTopic, 0, wall, [], at: now)
    }

    /// Whether a topic that has had messages has been silent long enough to be told again.
    func isIdle(_ index: Int, at now: Instant) -> Bool {
        sentAt.indices.contains(index) && now - sentAt[index] >= PlayZeroMQPath.idleAfter
    }

    private func note(_ index: Int, at now: Instant) {
        while sentAt.count <= index { sentAt.append(now) }
        sentAt[index] = now
    }

    private func write(
        _ kind: SequencedFrame.Kind, _ topic: [UInt8], _ sequence: UInt64, _ time: WallTime,
        _ payload: [UInt8], at now: Instant
    ) {
        frame.bytes.removeAll(keepingCapacity: true)
        encoder.write(
            kind, topic: topic, sequence: sequence, sourceTime: time, payload: payload, into: &frame)
        do throws(MessagingError) {
            try socket.send(frame.bytes)
            bytes += UInt64(frame.bytes.count)
        } catch {
            errors.add(error.number, on: "--zeromq \(endpoint)", second: now.nanoseconds / 1_000_000_000)
        }
    }

    var summary: PlayPathSummary {
        PlayPathSummary(
            path: "zeromq \(endpoint)", sent: messages, bytes: bytes, dropped: loss.dropped,
            errors: errors.counts, subscriptions: subscriptions, malformed: malformed)
    }
}
