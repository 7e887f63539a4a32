// What has come by a connection, to be taken frame by frame: who takes them prepares once for all of them.
import ZMTP

/// The frames that are there.
public struct ArrivedFrames: ~Copyable {
    private let bytes: [UInt8]
    private let places: [Range<Int>]
    private let kept: [[UInt8]]
    private var taken = 0

    /// Those of a buffer.
    init(_ places: [Range<Int>], in bytes: [UInt8]) { (self.bytes, self.places, kept) = (bytes, places, []) }

    /// Frames that came before.
    public init(kept frames: [[UInt8]]) { (bytes, places, kept) = ([], [], frames) }

    /// The next frame, of whatever message; `nil`: no more for now. Let go of all of them before the end of the call
    /// that they are taken in, or the buffer that they lie in is made anew.
    @inline(__always)
    public mutating func next() -> ArraySlice<UInt8>? {
        taken += 1
        if taken <= places.count { return bytes[places[taken - 1]] }
        return taken <= kept.count ? kept[taken - 1][...] : nil
    }
}
