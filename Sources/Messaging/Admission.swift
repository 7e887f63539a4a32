// Who may connect by an endpoint beyond this host: the dialogue of the ZeroMQ Authentication Protocol (RFC 27) as
// a pure machine. libzmq asks for each CURVE handshake whose client has proved that it holds its key.
import Basics
import Wire

/// What a socket that clients connect to is for: the domain of its handshakes. A process has one of each.
public enum Service: String, Hashable, Sendable, CaseIterable {
    /// The health bus.
    case publish
    case request
    case marketData = "market-data"

    /// The status code (RFC 27) for a client that is not on the list.
    var refusal: String {
        switch self {
        // Not now: libzmq drops the connection without a word when the time for the handshake is over, and the
        // client's libzmq comes back by itself, so that a subscriber is let in soon after it is authorized.
        case .publish, .marketData: "300"
        // Not you: the client is told at once, and its libzmq gives up. Who asks waits for the answer.
        case .request: "400"
        }
    }
}

/// Judges who wants to come in by the list of clients in force, for libzmq's handshakes and for our own.
struct Admission {
    /// What is to be done, in this order.
    enum Action: Hashable {
        case reply([[UInt8]])
        /// The client's handshake goes on. `address`: where libzmq says that it comes from.
        case admitted(Service, address: IPv4Address?)
        case refused(Service, address: IPv4Address?, PublicKey)
    }

    private static let version = Array("1.0".utf8)
    /// Version, request, domain, address, identity, mechanism.
    private static let fields = 6

    var allowed: AllowList
    private(set) var admitted: UInt64 = 0
    private(set) var refused: UInt64 = 0
    /// Requests that were none, or not for CURVE: answered 500, which ends the handshake.
    private(set) var malformed: UInt64 = 0

    init(allowed: AllowList) { self.allowed = allowed }

    /// Whose key this is; `nil`: nobody's on the list.
    mutating func judge(_ key: PublicKey) -> AllowedClient? {
        guard let client = allowed[key] else {
            refused &+= 1
            return nil
        }
        admitted &+= 1
        return client
    }

    /// A message as a ROUTER receives it: the envelope up to an empty frame, then the request.
    mutating func received(_ frames: [[UInt8]]) -> [Action] {
        guard let delimiter = frames.firstIndex(of: []), delimiter >= 1 else {
            malformed &+= 1
            return []
        }
        let envelope = Array(frames[...delimiter])
        let request = Array(frames[(delimiter + 1)...])
        guard let asked = Asked(request) else {
            malformed &+= 1
            let identifier = request.count > 1 ? request[1] : []
            return [.reply(envelope + answer("500", "not a CURVE request of ours", to: identifier))]
        }
        guard let client = judge(asked.key) else {
            let answer = answer(asked.service.refusal, "not on the list", to: asked.identifier)
            return [.refused(asked.service, address: asked.address, asked.key), .reply(envelope + answer)]
        }
        let answer = answer("200", "OK", to: asked.identifier, user: client.key.description)
        return [.admitted(asked.service, address: asked.address), .reply(envelope + answer)]
    }

    /// Version, request, status code, status text, user, metadata.
    private func answer(
        _ code: String, _ text: String, to identifier: [UInt8], user: String = ""
    ) -> [[UInt8]] {
        [Admission.version, identifier, Array(code.utf8), Array(text.utf8), Array(user.utf8), []]
    }

    /// A request that makes sense.
    private struct Asked {
        var identifier: [UInt8]
        var service: Service
        var address: IPv4Address?
        var key: PublicKey

        init?(_ frames: [[UInt8]]) {
            guard frames.count == Admission.fields + 1, frames[0] == Admission.version,
                frames[5] == Array("CURVE".utf8), let key = PublicKey(bytes: frames[6]),
                let service = Service(rawValue: String(decoding: frames[2], as: UTF8.self))
            else { return nil }
            identifier = frames[1]
            self.service = service
            address = IPv4Address(String(decoding: frames[3], as: UTF8.self))
            self.key = key
        }
    }
}
