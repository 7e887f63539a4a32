// Mistakes that a gateway could make, planted behind the production's engines: a checker that finds none of them
// proves nothing.
import Basics
import Wire

/// A mistake that is planted.
package enum Defect: String, Hashable, Sendable, CaseIterable {
    case dropsGap = "drops-gap"
    case repeatsMessage = "repeats-message"
    case losesMessage = "loses-message"
    case swapsMessages = "swaps-messages"
    case changesMessage = "changes-message"
    case claimsLive = "claims-live"
    /// No path but the first is ever subscribed.
    case deafPaths = "deaf-paths"
    /// A path that is subscribed is not asked for one of the topics.
    case forgetsTopic = "forgets-topic"
    /// What a disk was said to have is gone after a kill.
    case losesWritten = "loses-written"
    /// Likewise the last frame of a run, and only if its journal has a hole.
    case losesBehindHole = "loses-behind-hole"
    /// A client of SoupBinTCP asks to go on one message too late.
    case resumesLate = "resumes-late"
    /// What a Gap Request Proxy refused for good is taken for refused for now.
    case asksAgain = "asks-again"
    /// A feed that is to begin with its session begins where that is.
    case startsLate = "starts-late"
    /// Re-request servers are asked ten times as often as configured.
    case asksTooOften = "asks-too-often"
    /// Sixteen times what may wait for the journal's disk waits for it.
    case hoards
    /// Clients do not look at `previous` and idle frames.
    case blindClients = "blind-clients"
    /// Clients take nothing of any session but the first that they hear of.
    case staysInSession = "stays-in-session"
    /// What waited in the sockets while the gateway did not run counts as heard when it is read.
    case forgetsArrival = "forgets-arrival"
    /// After such a time what is overdue is done before the sockets are read.
    case ticksFirst = "ticks-first"
    /// After such a time what lies unread in the sockets counts as heard: what was live before is said to be live still.
    case countsUnread = "counts-unread"
    /// A batch is lost on its way to a client.
    case losesBatch = "loses-batch"
    /// A path subscribes ten times as fast as configured.
    case subscribesTooFast = "subscribes-too-fast"
    /// What a client held stays in the table when it is gone.
    case keepsClosed = "keeps-closed"
    /// The idle frame of a topic that another gateway left in an older session counts as a word of that session.
    case followsIdle = "follows-idle"
}

/// Stands between the engines and the clients.
final class DefectiveSink {
    /// Data frames between two mistakes.
    private static let every = 400
    private let defect: Defect?
    private var frames = 0
    private var kept: [UInt8]?

    init(_ defect: Defect?) { self.defect = defect }

    /// What is published in place of a frame.
    func spoil(_ frame: [UInt8]) -> [[UInt8]] {
        guard let defect, let end = frame.firstIndex(of: 0) else { return [frame] }
        let isData = frame[end + 2] == 1
        if isData { frames += 1 }
        let isTurn = isData && frames % DefectiveSink.every == 0
        switch defect {
        case .dropsGap: return frame[end + 2] == 4 ? [] : [frame]
        case .repeatsMessage: return isTurn ? [frame, frame] : [frame]
        case .losesMessage: return isTurn ? [] : [frame]
        case .swapsMessages: return swapped(frame, isTurn: isTurn, isData: isData)
        case .changesMessage: return [isTurn ? frame.dropLast() + [frame[frame.count - 1] ^ 1] : frame]
        case .claimsLive:
            var lie = frame
            lie[end + 3] &= ~7
            lie[end + 34] = 1
            return [lie]
        case .deafPaths, .forgetsTopic, .blindClients, .losesWritten, .losesBehindHole, .resumesLate,
            .asksAgain, .startsLate, .asksTooOften, .hoards, .forgetsArrival, .ticksFirst, .countsUnread,
            .losesBatch, .subscribesTooFast, .keepsClosed, .staysInSession, .followsIdle:
            return [frame]
        }
    }

    /// Whether a client does not get what was published for it.
    func losesOnItsWay(_ frame: PublishedFrame) -> Bool {
        guard defect == .losesBatch, frame.header.kind == .batch else { return false }
        frames += 1
        return frames % DefectiveSink.every == 0
    }

    private func swapped(_ frame: [UInt8], isTurn: Bool, isData: Bool) -> [[UInt8]] {
        if isTurn {
            kept = frame
            return []
        }
        guard isData, let earlier = kept else { return [frame] }
        kept = nil
        return [frame, earlier]
    }
}
