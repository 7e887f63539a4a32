// The connection to a venue's server, which loses nothing when our keys become others: the connection with the old
// keys delivers until the one with the new keys has all subscriptions, and has had them for a while. What that one
// brought last is then delivered
// again, so that nothing is lost which the old one had still under way; the arbiter drops what it has. It writes what
// keeps it from its server into the journal.
import Basics
import DequeModule
import Linux
import Messaging
import Reactor
import Wire

final class VenueLink {
    /// Where the venue's server is.
    struct Address {
        var endpoint: String
        /// Its key; `nil`: in the clear.
        var serverKey: PublicKey?
        /// The interface through which the connection leaves; `nil`: as routed.
        var interface: String?
        /// The own address that it comes from; `nil`: as routed.
        var source: IPv4Address?
    }

    /// What the link's owner is told, and asked.
    struct Handlers {
        var connected: () -> Void
        var disconnected: () -> Void
        /// Takes all of them.
        var frames: (inout ArrivedFrames) -> Void
        /// Nothing that had arrived waits to be read.
        var emptied: () -> Void
        /// What becomes of the connection that is to take the other's place.
        var successor: (SuccessorNews) -> Void
    }

    /// Of the connection that is to take the other's place.
    enum SuccessorNews {
        /// It is there, and has what is always subscribed; it waits to be told that it has the rest, too.
        case connected
        case lost
        /// It is the connection from now on.
        case tookOver
    }

    /// How long the new connection has all subscriptions before it takes over: they are in place by then, and what came
    /// by it in this time is delivered then, since one connection may be behind the other.
    static let overlap: Duration = .seconds(1)

    /// One connection, with one pair of keys.
    private final class Strand { var subscriber: SubscriberSocket? }

    let address: Address
    private let loop: EventLoop
    private let lookUps: NameLookups
    private let log: EventLog
    private let handlers: Handlers
    /// What each connection is subscribed to at once.
    private let always: [[UInt8]]
    private var toldTrouble: String?
    private var current = Strand()
    /// With the new keys, until it takes over.
    private var successor: Strand?
    /// Whether it has all that is wanted now, and when it may take over, since it had that once.
    private var isSuccessorComplete = false
    private var takesOverFrom: Instant?
    /// Whose place was taken; it is let go of when nobody is in one of its calls.
    private var retired: Strand?
    private var handover: Timer?
    private var kept = RecentFrames(within: VenueLink.overlap)

    init(
        _ loop: EventLoop, _ lookUps: NameLookups, _ address: Address, keys: KeyPair?,
        always: [[UInt8]], log: @escaping EventLog, _ handlers: Handlers
    ) throws(BusError) {
        self.loop = loop
        self.lookUps = lookUps
        self.address = address
        self.log = log
        self.handlers = handlers
        self.always = always
        do throws(SystemError) {
            handover = try Timer(loop, accuracy: .milliseconds(50)) { [unowned self] in handOver() }
        } catch {
            throw .system(error)
        }
        current = try open(.connecting(to: address.endpoint, address.serverKey, with: keys))
    }

    private var isConnected: Bool { current.subscriber?.isConnected ?? false }
    /// Why a connection is refused, for a person.
    private var trouble: String? { successor?.subscriber?.trouble ?? current.subscriber?.trouble }

    /// Why nothing comes, for a person; `nil`: it is connected.
    var note: String? { isConnected ? nil : trouble ?? "not connected to \(address.endpoint)" }

    /// What a source counted, with what its connections did.
    func counters(_ counted: SourceCounters) -> SourceCounters {
        var counters = counted
        for subscriber in [current.subscriber, successor?.subscriber].compactMap({ $0 }) {
            counters.attempts &+= subscriber.attempts
            counters.retryAfter = max(counters.retryAfter, subscriber.retryAfter)
            counters.streamErrors &+= subscriber.broken
        }
        return counters
    }

    /// Subscribes to a prefix, or ends that; on the connection that is to take the other's place, or on the other.
    func change(_ prefix: [UInt8], isWanted: Bool, onSuccessor: Bool = false) {
        let subscriber = (onSuccessor ? successor : current)?.subscriber
        isWanted ? subscriber?.subscribe(prefix) : subscriber?.cancel(prefix)
    }

    private func open(_ security: EndpointSecurity) throws(BusError) -> Strand {
        let strand = Strand()
        strand.subscriber = try SubscriberSocket(
            loop, lookUps, endpoint: address.endpoint, security: security,
            interface: address.interface, source: address.source,
            SubscriberSocket.Handlers(
                news: { [unowned self, unowned strand] in heard($0, on: strand) },
                frames: { [unowned self, unowned strand] in received(&$0, on: strand) },
                emptied: { [unowned self, unowned strand] in if strand === current { handlers.emptied() } },
                subscriptions: { [always] in always }))
        return strand
    }

    private func received(_ frames: inout ArrivedFrames, on strand: Strand) {
        if strand === current { return handlers.frames(&frames) }
        while let place = frames.next() {
            if strand === successor { kept.append(Array(frames.bytes[place]), at: loop.now) }
        }
    }

    // MARK: - Other keys

    func rekey(_ keys: KeyPair) {
        toldTrouble = nil
        guard let serverKey = address.serverKey else { return }
        let security = EndpointSecurity.client(keys, of: serverKey)
        if let successor {
            successor.subscriber?.reconnect(security)
        } else if isConnected, let next = try? open(security) {
            successor = next
        } else {
            current.subscriber?.reconnect(security)
        }
    }

    private func heard(_ news: Connection.News, on strand: Strand) {
        if strand === current {
            guard news == .disconnected, successor?.subscriber?.isConnected ?? false else {
                return tell(news)
            }
            if isSuccessorComplete { return promote() }
            tell(news)
            promote(telling: .connected)
        } else if strand === successor {
            switch news {
            case .connected:
                isConnected ? handlers.successor(.connected) : promote(telling: .connected)
            case .disconnected:
                (isSuccessorComplete, takesOverFrom) = (false, nil)
                kept.removeAll()
                handlers.successor(.lost)
            case .failed: tell(news)
            }
        }
    }

    private func tell(_ news: Connection.News) {
        switch news {
        case .connected:
            if toldTrouble != nil { log(.pathReceivingAgain, "connected to \(address.endpoint)") }
            toldTrouble = nil
            handlers.connected()
        case .disconnected:
            toldTrouble = current.subscriber?.fault
            if let toldTrouble {
                log(.pathNotReceiving, "hung up on \(address.endpoint): \(toldTrouble); connecting again")
            }
            handlers.disconnected()
        case .failed: tellTrouble()
        }
    }

    /// Each trouble once; it is tried again and again.
    private func tellTrouble() {
        guard let trouble, trouble != toldTrouble else { return }
        toldTrouble = trouble
        let meanwhile = isConnected ? "going on with the key before" : "not receiving"
        log(.pathNotReceiving, "\(trouble); trying again, \(meanwhile)")
    }

    /// Whether the connection that is to take the other's place has all that is wanted.
    func successor(isComplete: Bool) {
        guard successor?.subscriber?.isConnected ?? false else { return }
        isSuccessorComplete = isComplete
        if isComplete, takesOverFrom == nil { takesOverFrom = loop.now + VenueLink.overlap }
        // Not from here: its owner is in one of its calls.
        if isComplete, let takesOverFrom { handover?.arm(at: takesOverFrom) }
    }

    private func promote(telling news: Connection.News? = nil) {
        guard let next = successor else { return }
        (retired, current, successor) = (current, next, nil)
        (isSuccessorComplete, takesOverFrom) = (false, nil)
        handover?.arm(at: loop.now)
        handlers.successor(.tookOver)
        if let news { tell(news) }
        var frames = ArrivedFrames(copying: kept.take(at: loop.now))
        handlers.frames(&frames)
    }

    private func handOver() {
        retired = nil
        guard isSuccessorComplete, let takesOverFrom else { return }
        takesOverFrom <= loop.now ? promote() : handover?.arm(at: takesOverFrom)
    }
}

/// What a connection brought last, as far back as it is of use, within a bound in bytes: beyond it the oldest is let go of.
struct RecentFrames {
    /// Bytes of all frames, each with what it takes besides.
    static let most = 16 << 20
    static let overhead = 64

    private var frames: Deque<(at: Instant, frame: [UInt8])> = []
    private var size = 0
    private let age: Duration

    /// - Parameter age: how long a frame is of use.
    init(within age: Duration) { self.age = age }

    mutating func append(_ frame: [UInt8], at now: Instant) {
        frames.append((now, frame))
        size += frame.count + RecentFrames.overhead
        while let first = frames.first, size > RecentFrames.most || now - first.at > age { removeFirst() }
    }

    /// Those that are of use, the oldest first; then there are none.
    mutating func take(at now: Instant) -> [[UInt8]] {
        defer { removeAll() }
        return frames.filter { now - $0.at <= age }.map(\.frame)
    }

    mutating func removeAll() { (frames, size) = ([], 0) }

    private mutating func removeFirst() {
        guard let first = frames.popFirst() else { return }
        size -= first.frame.count + RecentFrames.overhead
    }
}
