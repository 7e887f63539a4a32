// What every socket that clients connect to does about them: it keeps the book of its connections, hangs up on whom it
// must, and writes to the log who was refused.
import Basics
import Linux
import Logging
import Reactor
import Wire

/// Knows whose each connection of a socket is.
final class Doorkeeper {
    let authenticator: Authenticator?
    private let loop: EventLoop
    private let service: Service
    private let log: LimitedLog
    private(set) var book: ConnectionBook
    /// Ends a connection.
    var hangUp: (Int32) -> Void = { _ in }
    /// Called when a connection is gone, before its descriptor can be another one's.
    var onDeparture: (Int32) -> Void = { _ in }
    /// Whether a client that stays on the list may do less than before, and has to come in anew.
    var isCurtailed: (AllowedClient, AllowedClient) -> Bool = { _, _ in false }

    init(_ loop: EventLoop, of service: Service, at endpoints: ServerEndpoints, log: LimitedLog) {
        self.loop = loop
        self.service = service
        self.log = log
        authenticator = endpoints.authenticator
        book = ConnectionBook(limits: endpoints.limits)
    }

    var counters: AccessCounters {
        var counters = AccessCounters()
        counters.clients = book.clients
        counters.refused = book.refused
        counters.removed = book.removed
        return counters
    }

    /// The key and the authenticator that an endpoint beyond this host is bound with.
    ///
    /// - Throws: `BusError.noKeys` without them.
    func identity(of endpoint: String) throws(BusError) -> ServerIdentity {
        guard let authenticator else { throw .noKeys(endpoint: endpoint) }
        return authenticator.identity
    }

    /// Who is at the other end of a connection.
    func peer(_ descriptor: Int32) -> Peer {
        let (address, key) = book.peer(descriptor)
        let name = key.flatMap { authenticator?.credentials.allowed[$0]?.name }
        return Peer(connection: descriptor, client: name, address: address.map { "\($0.address)" })
    }

    /// The clients from which something was heard, in the order in which they came.
    func peers(atMost limit: Int) -> [Peer] { book.heard.prefix(limit).map(peer) }

    // MARK: - What happens to connections

    func accepted(_ descriptor: Int32, by entrance: Entrance, from peer: IPv4Endpoint?) {
        perform(book.accepted(descriptor, by: entrance, from: peer, at: loop.now))
    }

    func failed(_ failure: HandshakeFailure) { book.failed(failure) }
    func disconnected(_ descriptor: Int32) { perform(book.disconnected(descriptor, at: loop.now)) }

    func refused(_ key: PublicKey, of descriptor: Int32) { perform(book.refused(key, of: descriptor)) }

    /// Every connection that came by endpoints beyond this host went with them.
    func closedGuarded() { perform(book.closed(.guarded)) }

    /// Who is through the handshake, or said something.
    ///
    /// - Parameter key: that the handshake proved; `nil`: it came in the clear.
    func heard(_ descriptor: Int32, key: PublicKey?) -> Caller {
        let allowed = authenticator?.credentials.allowed ?? AllowList()
        let (caller, actions) = book.heard(descriptor, key: key, allowed: allowed)
        perform(actions)
        return caller
    }

    /// Other credentials are in force. The answer is whether our key is another one.
    func renewed(from old: Credentials) -> Bool {
        guard let new = authenticator?.credentials else { return false }
        perform(book.renewed(from: old.allowed, to: new.allowed, isCurtailed: isCurtailed))
        return new.keys != old.keys
    }

    private func perform(_ actions: [ConnectionBook.Action]) {
        for action in actions {
            switch action {
            case .hangUp(let descriptor): hangUp(descriptor)
            case .departed(let descriptor): onDeparture(descriptor)
            case .refused(let peer, let reason): tellRefused(peer, reason)
            case .removed(let client, let peer):
                tell(.clientRemoved, client, peer, "is no longer on the list: hung up on")
            case .curtailed(let client, let peer):
                tell(.clientRemoved, client, peer, "may read less than before: hung up on, to come in anew")
            }
        }
    }

    // MARK: - The log

    private func tellRefused(_ peer: IPv4Endpoint?, _ reason: ConnectionRefusal) {
        let address = peer.map { "\($0.address)" } ?? reason.whoIsNameless
        log.event(
            .clientRefused, key: address, "refused \(address) at \(service.rawValue): \(reason)",
            ["client_address": "\(address)", "service": "\(service.rawValue)"])
    }

    private func tell(
        _ event: JournalEvent, _ client: AllowedClient, _ peer: IPv4Endpoint?, _ what: String
    ) {
        let address = peer.map { "\($0.address)" } ?? ""
        log.event(
            event, key: address, "client \(client.name) \(what)",
            ["client": "\(client.name)", "client_address": "\(address)", "service": "\(service.rawValue)"])
    }
}

/// A socket that an authenticator guards.
protocol Guarded: AnyObject {
    /// The authenticator's credentials are others than these.
    func renewed(from old: Credentials)
}
