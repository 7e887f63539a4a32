// A feed by the name that a request gives it. While a reload brings a journalled feed back, its journal is closed and read
// first: who asks for it meanwhile is to ask again.
import Basics
import Messaging

enum NamedFeed {
    case open(Feed)
    /// It is configured, and will be there soon.
    case opening
    case unknown

    /// Who asks for one that is being opened is to ask again after this.
    static let retryAfter: Duration = .milliseconds(500)
}

extension Responder {
    /// The feed, if it is there; if not, who asks is told.
    func opened(_ feed: NamedFeed, named name: String) -> Feed? {
        switch feed {
        case .open(let feed): return feed
        case .opening: postpone(NamedFeed.retryAfter, because: "feed \(name) is being opened")
        case .unknown: refuse("there is no feed \(name)")
        }
        return nil
    }
}
