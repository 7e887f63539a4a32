// Which channels of a feed exist, where its packets name them: one damaged datagram opens none.
public import Basics

/// Lets channels in, up to a bound, each by the second packet that names it, where one alone may be damaged.
public struct ChannelAdmission: Sendable {
    public enum Verdict: Hashable, Sendable {
        case admitted
        /// It is named for the first time: another packet must follow.
        case waits
        /// There are as many as there may be.
        case refused
    }

    /// The most channels of a feed.
    public static let most = 64
    /// A second packet that comes later is a first one.
    private static let patience: Duration = .seconds(10)
    private static let mostCandidates = 16

    private struct Candidate {
        var channel: UInt16
        var path: Int
        var receivedAt: WallTime
        var at: Instant
    }

    private let isOverConnection: Bool
    private var candidates: [Candidate] = []
    private var admitted = 0

    /// - Parameter isOverConnection: packets come whole, so that the first one opens its channel: those behind it may come
    ///   with it.
    public init(isOverConnection: Bool = false) { self.isOverConnection = isOverConnection }

    /// Whether a channel that is not open is to be opened by this packet.
    public mutating func judge(
        _ channel: UInt16, path: Int, receivedAt: WallTime, at now: Instant
    ) -> Verdict {
        guard admitted < ChannelAdmission.most else { return .refused }
        if isOverConnection {
            admitted += 1
            return .admitted
        }
        candidates.removeAll { now - $0.at > ChannelAdmission.patience }
        if let known = candidates.firstIndex(where: { $0.channel == channel }) {
            let first = candidates[known]
            guard first.path != path || first.receivedAt != receivedAt else { return .waits }
            candidates.remove(at: known)
            admitted += 1
            return .admitted
        }
        if candidates.count == ChannelAdmission.mostCandidates { candidates.removeFirst() }
        candidates.append(Candidate(channel: channel, path: path, receivedAt: receivedAt, at: now))
        return .waits
    }
}
