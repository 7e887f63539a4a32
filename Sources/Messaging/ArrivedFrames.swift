// What has come by a connection, to be taken frame by frame: who takes them prepares once for all of them.

/// The frames that are there.
public struct ArrivedFrames: ~Copyable {
    private enum Origin {
        case connection(SubscriberSocket)
        case kept([[UInt8]])
    }

    private let origin: Origin
    private var taken = 0

    init(from connection: SubscriberSocket) { origin = .connection(connection) }

    /// Frames that came before.
    public init(kept frames: [[UInt8]]) { origin = .kept(frames) }

    /// The next frame, of whatever message; `nil`: no more for now. Let go of all of them before the end of the call
    /// that they are taken in, or the buffer that they lie in is made anew.
    public mutating func next() -> ArraySlice<UInt8>? {
        switch origin {
        case .connection(let connection): return connection.nextFrame()
        case .kept(let frames):
            guard taken < frames.count else { return nil }
            taken += 1
            return frames[taken - 1][...]
        }
    }
}
