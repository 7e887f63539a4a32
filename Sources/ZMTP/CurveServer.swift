// The server's side of CURVE (ZeroMQ RFC 26): who connects proves which key it has, to be let in or not, and from then
// on nobody else reads or changes what is said. A pure machine; its random bytes are given to it.
//
// Commands go in and come out without the frame around them, which is `ZMTPFrame.encode(_, .command)`.
public import Wire

/// One connection to us.
public struct CurveServer: Sendable {
    /// Random bytes that a connection needs.
    public static let entropyCount = 2 * Secret.size + 2 * 16

    /// What a command of the handshake leads to.
    public enum Answer: Hashable, Sendable {
        /// To be sent: a WELCOME.
        case send([UInt8])
        /// The client has proved that this key is its own: `admit` or `refuse` it.
        ///
        /// `metadata`: its properties, whole; see `ZMTPCommand.property`.
        case judge(PublicKey, metadata: ArraySlice<UInt8>)
    }

    private enum State {
        case hello(Transient)
        case initiate(Transient, client: [UInt8], heard: UInt64)
        case judging(CurveSession)
        case closed
    }

    /// What is made for the handshake, and is gone after it.
    private struct Transient {
        /// s'
        var secret: Secret
        /// K
        var cookieKey: Secret
        var cookieNonce: [UInt8]
        var welcomeNonce: [UInt8]

        init(_ entropy: [UInt8]) {
            secret = Secret(entropy[..<32])
            cookieKey = Secret(entropy[32..<64])
            cookieNonce = Array(entropy[64..<80])
            welcomeNonce = Array(entropy[80..<96])
        }

        /// Whom the cookie is for, and how the connection goes on; `Box.wipe` it.
        func cookie(for client: [UInt8]) -> [UInt8] { client + secret.bytes }
    }

    private let keys: KeyPair
    private var state: State

    /// - Parameters:
    ///   - keys: our own.
    ///   - entropy: `entropyCount` random bytes, of which no other connection has any.
    public init(_ keys: KeyPair, entropy: [UInt8]) {
        precondition(entropy.count == CurveServer.entropyCount, "\(entropy.count) random bytes")
        self.keys = keys
        state = .hello(Transient(entropy))
    }

    /// Whether it has answered the client's HELLO.
    var hasBegun: Bool { if case .hello = state { false } else { true } }

    /// Takes a command of the client's handshake. After an error the connection ends.
    public mutating func received(_ command: ArraySlice<UInt8>) throws(ZMTPError) -> Answer {
        let before = state
        state = .closed
        let (name, rest) = try ZMTPCommand.split(command)
        switch before {
        case .hello(let transient):
            guard name == CurveHello.name else { throw .command(name) }
            return .send(try welcome(CurveHello(rest), transient))
        case .initiate(let transient, let client, let heard):
            guard name == CurveInitiate.name else { throw .command(name) }
            return try judge(CurveInitiate(rest), of: client, after: heard, transient)
        case .judging, .closed: throw .command(name)
        }
    }

    private mutating func welcome(
        _ hello: CurveHello, _ transient: Transient
    ) throws(ZMTPError) -> [UInt8] {
        let nonce = Nonce("CurveZMQHELLO---", hello.number)
        guard let key = Secret(of: Secret(keys.secretKey.bytes), with: hello.client),
            Box.open(hello.signature[...], nonce, key) == CurveHello.signed
        else { throw .box(CurveHello.name) }
        var cookie = transient.cookie(for: hello.client)
        defer { Box.wipe(&cookie) }
        let cookieBox = Box.seal(cookie, Nonce("COOKIE--", transient.cookieNonce), transient.cookieKey)
        let text = transient.secret.publicKey + transient.cookieNonce + cookieBox
        let box = Box.seal(text, Nonce("WELCOME-", transient.welcomeNonce), key)
        state = .initiate(transient, client: hello.client, heard: hello.number)
        return CurveWelcome(nonce: transient.welcomeNonce, box: box).bytes
    }

    private mutating func judge(
        _ initiate: CurveInitiate, of client: [UInt8], after heard: UInt64, _ transient: Transient
    ) throws(ZMTPError) -> Answer {
        guard initiate.number > heard else { throw .replayed(CurveInitiate.name) }
        guard isOurs(initiate, of: client, transient),
            let key = Secret(of: transient.secret, with: client),
            let text = Box.open(initiate.box[...], Nonce("CurveZMQINITIATE", initiate.number), key)
        else { throw .box(CurveInitiate.name) }
        let identity = try CurveIdentity(text)
        guard let publicKey = PublicKey(bytes: identity.client), vouches(identity, for: client, transient)
        else {
            throw .box(CurveInitiate.name)
        }
        _ = try ZMTPCommand.property("Socket-Type", in: identity.metadata)
        state = .judging(CurveSession(key, isServer: true, sent: 0, heard: initiate.number))
        return .judge(publicKey, metadata: identity.metadata)
    }

    /// Whether the cookie is the one that this connection got.
    private func isOurs(_ initiate: CurveInitiate, of client: [UInt8], _ transient: Transient) -> Bool {
        let nonce = Nonce("COOKIE--", initiate.cookieNonce)
        guard var text = Box.open(initiate.cookieBox[...], nonce, transient.cookieKey) else { return false }
        var cookie = transient.cookie(for: client)
        defer {
            Box.wipe(&text)
            Box.wipe(&cookie)
        }
        return Box.areEqual(text, cookie)
    }

    /// Whether who holds the client's own key says that this connection, to us, is its.
    private func vouches(_ identity: CurveIdentity, for client: [UInt8], _ transient: Transient) -> Bool {
        guard let key = Secret(of: transient.secret, with: identity.client) else { return false }
        let nonce = Nonce("VOUCH---", identity.vouchNonce)
        return Box.open(identity.vouchBox[...], nonce, key) == client + keys.publicKey.bytes
    }

    /// Lets the client in: the READY to be sent, with our metadata, and what messages are sealed and opened with from
    /// then on.
    ///
    /// - Precondition: the client is to be judged.
    public mutating func admit(
        metadata: [(name: String, value: String)]
    ) -> (ready: [UInt8], session: CurveSession) {
        guard case .judging(let judged) = state else { preconditionFailure("nobody to admit") }
        let number: UInt64 = 1
        let box = Box.seal(ZMTPCommand.encode(metadata), Nonce("CurveZMQREADY---", number), judged.key)
        state = .closed
        return (CurveReady(number: number, box: box).bytes, judged.following(sent: number))
    }

    /// Does not: the ERROR to be sent before the connection ends. libzmq's clients do not come back after "400".
    ///
    /// - Parameter status: RFC 27's: "300" not now, "400" not you, "500" our fault.
    /// - Precondition: the client is to be judged.
    public mutating func refuse(status: String) -> [UInt8] {
        guard case .judging = state else { preconditionFailure("nobody to refuse") }
        state = .closed
        let reason = status.utf8.prefix(255)
        return ZMTPCommand.encode("ERROR", [UInt8(reason.count)] + reason)
    }
}
