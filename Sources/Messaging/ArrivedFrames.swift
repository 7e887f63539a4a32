// What has come to a socket, to be taken frame by frame: who takes them prepares once for all of them.

/// The frames that are there, all through one buffer and no more than a batch of them.
public struct ArrivedFrames: ~Copyable {
    private enum Origin {
        case socket(Socket)
        case kept([[UInt8]])
    }

    private let origin: Origin
    private var buffer: [UInt8] = []
    private var taken = 0
    private(set) var failure: MessagingError?

    init(of socket: Socket) { origin = .socket(socket) }

    /// Frames that came before.
    public init(kept frames: [[UInt8]]) { origin = .kept(frames) }

    /// Another batch may be taken.
    mutating func begin() {
        taken = 0
        failure = nil
    }

    /// The next frame, of whatever message; `nil`: no more for now. Let go of it before asking again, or the buffer is
    /// made anew.
    public mutating func next() -> ArraySlice<UInt8>? {
        switch origin {
        case .socket(let socket):
            guard taken < SocketSource.batch else { return nil }
            do throws(MessagingError) {
                guard try socket.receive(into: &buffer) else { return nil }
            } catch {
                failure = error
                return nil
            }
            taken += 1
            return buffer[...]
        case .kept(let frames):
            guard taken < frames.count else { return nil }
            taken += 1
            return frames[taken - 1][...]
        }
    }
}
