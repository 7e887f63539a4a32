// The client's side of CURVE (ZeroMQ RFC 26): it knows the server's key beforehand, and says who it is to nobody else.
// A pure machine; its random bytes are given to it.
//
// Commands go in and come out without the frame around them, which is `ZMTPFrame.encode(_, .command)`.
public import Wire

/// One connection that we make.
public struct CurveClient: Sendable {
    /// Random bytes that a connection needs.
    public static let entropyCount = Secret.size + 16

    /// What a command of the server's leads to.
    public enum Answer: Sendable {
        /// To be sent: an INITIATE.
        case send([UInt8])
        /// We are in: messages take the place of commands.
        ///
        /// `metadata`: the server's properties, whole; see `ZMTPCommand.property`.
        case open(CurveSession, metadata: ArraySlice<UInt8>)
    }

    private enum State {
        case new(Transient)
        /// `key`: what C' and S share.
        case welcome(Transient, key: Secret)
        case ready(CurveSession)
        case closed
    }

    /// What is made for the handshake, and is gone after it.
    private struct Transient {
        /// c'
        var secret: Secret
        /// C'
        var publicKey: [UInt8]
        var vouchNonce: [UInt8]

        init(_ entropy: [UInt8]) {
            secret = Secret(entropy[..<32])
            publicKey = secret.publicKey
            vouchNonce = Array(entropy[32..<48])
        }
    }

    private let keys: KeyPair
    private let server: PublicKey
    private let metadata: [UInt8]
    private var state: State

    /// - Parameters:
    ///   - keys: our own.
    ///   - server: the server's key.
    ///   - metadata: our properties.
    ///   - entropy: `entropyCount` random bytes, of which no other connection has any.
    public init(
        _ keys: KeyPair, server: PublicKey, metadata: [(name: String, value: String)], entropy: [UInt8]
    ) {
        self.init(keys, server: server, metadata: ZMTPCommand.encode(metadata), entropy: entropy)
    }

    init(_ keys: KeyPair, server: PublicKey, metadata: [UInt8], entropy: [UInt8]) {
        precondition(entropy.count == CurveClient.entropyCount, "\(entropy.count) random bytes")
        self.keys = keys
        self.server = server
        self.metadata = metadata
        state = .new(Transient(entropy))
    }

    /// The HELLO to be sent first.
    ///
    /// - Throws: `weakKey`, the server's.
    /// - Precondition: for the first time.
    public mutating func begin() throws(ZMTPError) -> [UInt8] {
        guard case .new(let transient) = state else { preconditionFailure("begun twice") }
        state = .closed
        guard let key = Secret(of: transient.secret, with: server.bytes) else { throw .weakKey }
        let number: UInt64 = 1
        let signature = Box.seal(CurveHello.signed, Nonce("CurveZMQHELLO---", number), key)
        state = .welcome(transient, key: key)
        return CurveHello(client: transient.publicKey, number: number, signature: signature).bytes
    }

    /// Takes a command of the server's. After an error, among them its refusal, the connection ends.
    public mutating func received(_ command: ArraySlice<UInt8>) throws(ZMTPError) -> Answer {
        let before = state
        state = .closed
        let (name, rest) = try ZMTPCommand.split(command)
        switch before {
        case .welcome(let transient, let key):
            guard name == CurveWelcome.name else { throw refusal(name, rest) }
            return .send(try initiate(CurveWelcome(rest), transient, key))
        case .ready(let session):
            guard name == CurveReady.name else { throw refusal(name, rest) }
            return try ready(CurveReady(rest), session)
        case .new, .closed: throw .command(name)
        }
    }

    /// What an ERROR says, or that it is none.
    private func refusal(_ name: String, _ rest: ArraySlice<UInt8>) -> ZMTPError {
        guard name == "ERROR" else { return .command(name) }
        guard let length = rest.first, rest.count > Int(length) else { return .malformed(name) }
        return .refused(ZMTPCommand.reason(rest))
    }

    private mutating func initiate(
        _ welcome: CurveWelcome, _ transient: Transient, _ key: Secret
    ) throws(ZMTPError) -> [UInt8] {
        guard let text = Box.open(welcome.box[...], Nonce("WELCOME-", welcome.nonce), key) else {
            throw .box(CurveWelcome.name)
        }
        // S'
        let theirs = Array(text.prefix(Secret.size))
        guard let shared = Secret(of: transient.secret, with: theirs),
            let vouching = Secret(of: Secret(keys.secretKey.bytes), with: theirs)
        else { throw .weakKey }
        let nonce = Nonce("VOUCH---", transient.vouchNonce)
        let identity = CurveIdentity(
            client: keys.publicKey.bytes, vouchNonce: transient.vouchNonce,
            vouchBox: Box.seal(transient.publicKey + server.bytes, nonce, vouching), metadata: metadata[...])
        let number: UInt64 = 2
        let box = Box.seal(identity.bytes, Nonce("CurveZMQINITIATE", number), shared)
        state = .ready(CurveSession(shared, isServer: false, sent: number, heard: 0))
        return CurveInitiate(cookie: text.dropFirst(Secret.size), number: number, box: box).bytes
    }

    private func ready(_ ready: CurveReady, _ session: CurveSession) throws(ZMTPError) -> Answer {
        let nonce = Nonce("CurveZMQREADY---", ready.number)
        guard let metadata = Box.open(ready.box[...], nonce, session.key) else {
            throw .box(CurveReady.name)
        }
        _ = try ZMTPCommand.property("Socket-Type", in: metadata[...])
        return .open(session.following(heard: ready.number), metadata: metadata[...])
    }
}
