// A marker says that what was subscribed before it is in place, and shown: while something is still being shown to its
// connection, it waits.

public struct MarkerQueue: Sendable {
    /// Markers of one connection that wait; what is beyond is dropped.
    static let most = 10_000

    private struct Waiting {
        /// How many feeds are still being shown.
        var feeds = 1
        var markers: [[UInt8]] = []
    }

    private var waiting: [Int32: Waiting] = [:]

    public init() {}

    /// A feed's topics are being shown to a connection.
    public mutating func begin(_ connection: Int32) {
        if waiting[connection] == nil {
            waiting[connection] = Waiting()
        } else {
            waiting[connection]?.feeds += 1
        }
    }

    /// A feed's topics were shown to it, or are not shown any more.
    ///
    /// - Returns: the markers that are to be sent now.
    public mutating func end(_ connection: Int32) -> [[UInt8]] {
        guard let feeds = waiting[connection]?.feeds else { return [] }
        guard feeds == 1 else {
            waiting[connection]?.feeds = feeds - 1
            return []
        }
        return waiting.removeValue(forKey: connection)?.markers ?? []
    }

    /// A connection is to be sent a marker. `false`: it may have it now.
    public mutating func keep(_ marker: [UInt8], for connection: Int32) -> Bool {
        guard let markers = waiting[connection]?.markers.count else { return false }
        if markers < MarkerQueue.most { waiting[connection]?.markers.append(marker) }
        return true
    }

    public mutating func leave(_ connection: Int32) { waiting[connection] = nil }
}
