// One client of a socket of ours: its connection, what it has said so far, and what waits to be sent to it.
import Basics
import Linux
import Reactor
import Wire
import ZMTP

/// One client that is connected, or in its handshake.
final class ClientConnection {
    /// Goes before the descriptor that it watches; `nil`: the loop does not watch it by itself.
    var source: IOSource?
    let socket: StreamSocket
    let descriptor: Int32
    let entrance: Entrance
    let peer: IPv4Endpoint?
    /// Another one for each connection, unlike the descriptor.
    var number: UInt64 = 0
    /// As `Reception.room` is.
    @exclusivity(unchecked) var line: ClientLine
    /// The key that its handshake proved; `nil`: it came in the clear.
    var key: PublicKey?
    /// It is through its handshake, and no longer in the antechamber.
    var isIn = false
    /// The kernel takes no more for now: the loop tells when it does.
    var isBlocked = false
    /// Something waits for the end of the loop's turn.
    var isWritten = false
    /// It is over, though perhaps not closed yet.
    var isBroken = false
    /// It gets nothing more than what waits.
    var isEnding = false
    /// Messages that it did not get.
    var dropped: UInt64 = 0
    var takesMore: Bool { !isBroken && !isEnding }

    init(_ socket: consuming StreamSocket, _ entrance: Entrance, _ session: ServerSession) {
        descriptor = socket.descriptor.raw
        peer = PeerAddress.of(descriptor)
        self.socket = socket
        self.entrance = entrance
        unsafe line = ClientLine(session)
    }
}

/// A client's session, and what waits to be sent to it.
struct ClientLine: ~Copyable {
    enum Result: Equatable {
        /// As many bytes wait now.
        case waits(Int)
        case full
        case notOpen
    }

    var session: ServerSession
    var queue = SendQueue()

    init(_ session: ServerSession) { self.session = session }

    mutating func put(_ message: [UInt8], _ room: inout QueueRoom) -> Result {
        guard session.isOpen else { return .notOpen }
        let count = message.count + ServerSession.overhead
        guard queue.mayTake(count, room) else { return .full }
        queue.append(count, &room) { session.encode(message, into: &$0) }
        return .waits(queue.count)
    }

    mutating func put(_ first: [UInt8], _ second: [UInt8], _ room: inout QueueRoom) -> Result {
        guard session.isOpen else { return .notOpen }
        let count = first.count + second.count + 2 * ServerSession.overhead
        guard queue.mayTake(count, room) else { return .full }
        queue.append(count, &room) { session.encode(first, second, into: &$0) }
        return .waits(queue.count)
    }

    /// Likewise, one message of so many frames.
    ///
    /// - Parameter longest: what a message may have in bytes beyond what each queue may have, even where none waits.
    mutating func put(_ frames: [[UInt8]], longest: Int, _ room: inout QueueRoom) -> Result {
        guard session.isOpen else { return .notOpen }
        let count = frames.reduce(0) { $0 + $1.count + ServerSession.overhead }
        guard count <= max(room.ofEach, longest), queue.mayTake(count, room) else { return .full }
        queue.append(count, &room) { session.encode(frames, into: &$0) }
        return .waits(queue.count)
    }

    mutating func put(pong context: [UInt8], _ room: inout QueueRoom) -> Result {
        let count = ServerSession.pongOverhead + context.count
        guard queue.mayTake(count, room) else { return .full }
        queue.append(count, &room) { session.encode(pong: context, into: &$0) }
        return .waits(queue.count)
    }
}
