// What a feed's engine needs from the configuration and tells the feed's shell.
import Arbitration
import Basics
package import Configuration
import FeedProtocols
package import Linux
import Wire

/// Writes a journal entry about a feed or one of its paths, within the limits of what strangers can cause. It is called
/// while the engine is at work, which is to be asked nothing meanwhile.
package typealias EventLog = (JournalEvent, String) -> Void

extension PathMachineOptions {
    init(_ feed: FeedOptions) {
        self.init(
            policy: feed.policy == .hotHot ? .hotHot : .hotWarm,
            paths: feed.paths.map {
                let login = $0.login.map { _ in LoginTimes(deadAfter: feed.silence).loginWithin }
                return Path($0.name, dependsOn: $0.dependsOn, firstWordWithin: login ?? .zero)
            }, silence: feed.silence,
            silenceBehindTwin: feed.silenceBehindTwin, holdDown: feed.holdDown)
        isAsked = feed.feedProtocol == .zeromq || feed.feedProtocol == .holdfast
        divergenceHold = feed.holdDown
        lag = feed.lag
    }
}

extension FeedOptions {
    var subject: Subject { Subject(.feed, name) }

    /// How long a path over SoupBinTCP may say nothing: a server says each second that it lives, whatever the silence of
    /// the feed's other lines may be.
    package var connectionSilence: Duration {
        feedProtocol == .soupBinTCP
            ? silence : min(silence, FeedProtocolDescription(named: FeedProtocol.soupBinTCP.rawValue).silence)
    }
    func subject(ofPath path: Int) -> Subject { Subject(.feedPath, "\(name).\(paths[path].name)") }

    /// Whether muting the subject means anything to this feed.
    func concerns(_ subject: Subject) -> Bool {
        subject == self.subject
            || paths.indices.contains { self.subject(ofPath: $0) == subject }
            || paths.contains { $0.dependsOn.contains { $0.subject == subject } }
    }

    /// Whether its channels are numbered, as far as its protocol says so.
    var hasBatches: Bool {
        switch FeedProtocolDescription(named: feedProtocol.rawValue).numbering {
        case .messagesOfChannel, .packetsOfChannel: true
        case .messagesOfTopic: false
        }
    }

    /// How long an upstream subscription outlives its last holder; `nil` where none is needed.
    package var upstreamLinger: Duration? {
        switch feedProtocol {
        case .moldUDP64, .soupBinTCP, .pitch, .iexTP, .mdp3, .holdfast: nil
        case .zeromq: lingerTime
        }
    }
}
