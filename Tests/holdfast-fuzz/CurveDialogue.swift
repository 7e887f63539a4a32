// CURVE for the fuzzer: a client and a server at each step of their handshake, and what may be said to them there. All
// keys are known, so that what is in boxes can be changed as well.
import Wire

@testable import ZMTP

struct CurveDialogue: Sendable {
    /// Whom bytes come to: as they are, or as what a sound box holds.
    enum Ear: UInt8, CaseIterable {
        case hello, welcome, initiate, ready, message, identity, readyText, messageText
    }

    /// `nil`: the two do not understand each other.
    static let sound: CurveDialogue? = try? CurveDialogue()

    private let shared: Secret
    private let cookie: ArraySlice<UInt8>
    private let awaitingHello: CurveServer
    private let awaitingWelcome: CurveClient
    private let awaitingInitiate: CurveServer
    private let awaitingReady: CurveClient
    private let open: CurveSession
    let seeds: [[UInt8]]

    private struct Silence: Error {}

    private init() throws {
        let (desk, gateway) = (try CurveDialogue.keys(3), try CurveDialogue.keys(5))
        var server = CurveServer(gateway, entropy: CurveDialogue.entropy(CurveServer.entropyCount, 101))
        let entropy = CurveDialogue.entropy(CurveClient.entropyCount, 7)
        var client = CurveClient(
            desk, server: gateway.publicKey, metadata: Seeds.metadata, entropy: entropy)
        awaitingHello = server
        let hello = try client.begin()
        awaitingWelcome = client
        guard case .send(let welcome) = try server.received(hello[...]) else { throw Silence() }
        awaitingInitiate = server
        guard case .send(let initiate) = try client.received(welcome[...]) else { throw Silence() }
        awaitingReady = client
        _ = try server.received(initiate[...])
        let (ready, ours) = server.admit(metadata: [("Socket-Type", "XPUB"), ("Identity", "12")])
        guard case .open(var theirs, _) = try client.received(ready[...]) else { throw Silence() }
        open = ours
        var message: [UInt8] = []
        theirs.seal(Array("md/itch/".utf8)[...], into: &message)

        let secret = Secret(entropy.prefix(Secret.size))
        let publicKey = Secret(CurveDialogue.entropy(CurveServer.entropyCount, 101).prefix(Secret.size))
            .publicKey
        guard let shared = Secret(of: secret, with: publicKey) else { throw Silence() }
        self.shared = shared
        cookie = initiate[9..<105]
        let command = try CurveInitiate(initiate[9...])
        let nonce = Nonce("CurveZMQINITIATE", command.number)
        guard let identity = Box.open(command.box[...], nonce, shared) else { throw Silence() }
        let said: [(Ear, [UInt8])] = [
            (.hello, hello), (.welcome, welcome), (.welcome, ZMTPCommand.encode("ERROR", [3] + "400".utf8)),
            (.initiate, initiate), (.ready, ready), (.message, Array(message.dropFirst(2))),
            (.identity, identity), (.readyText, Seeds.metadata), (.messageText, [1] + "md/".utf8),
        ]
        seeds = said.map { [$0.rawValue] + $1 }
    }

    private static func keys(_ byte: UInt8) throws -> KeyPair {
        let secret = Secret([UInt8](repeating: byte, count: Secret.size))
        guard let publicKey = PublicKey(bytes: secret.publicKey), let key = SecretKey(bytes: secret.bytes)
        else {
            throw Silence()
        }
        return KeyPair(publicKey: publicKey, secretKey: key)
    }

    private static func entropy(_ count: Int, _ first: UInt8) -> [UInt8] {
        (0..<count).map { first &+ UInt8($0) }
    }

    /// - Returns: the metadata that come out.
    func heard(_ bytes: ArraySlice<UInt8>, by ear: Ear) throws -> ArraySlice<UInt8> {
        switch ear {
        case .hello: try heard(bytes, by: awaitingHello)
        case .welcome: try heard(bytes, by: awaitingWelcome)
        case .initiate: try heard(bytes, by: awaitingInitiate)
        case .ready: try heard(bytes, by: awaitingReady)
        case .message: try opened(bytes)
        case .identity: try heard(initiate(holding: bytes)[...], by: awaitingInitiate)
        case .readyText: try heard(ready(holding: bytes)[...], by: awaitingReady)
        case .messageText: try opened(message(holding: bytes)[...])
        }
    }

    private func heard(_ bytes: ArraySlice<UInt8>, by server: CurveServer) throws -> ArraySlice<UInt8> {
        var server = server
        guard case .judge(_, let metadata) = try server.received(bytes) else { return [] }
        return metadata
    }

    private func heard(_ bytes: ArraySlice<UInt8>, by client: CurveClient) throws -> ArraySlice<UInt8> {
        var client = client
        guard case .open(_, let metadata) = try client.received(bytes) else { return [] }
        return metadata
    }

    private func opened(_ bytes: ArraySlice<UInt8>) throws -> ArraySlice<UInt8> {
        var session = open
        _ = try session.open(bytes)
        return []
    }

    private func initiate(holding text: ArraySlice<UInt8>) -> [UInt8] {
        let box = Box.seal(Array(text), Nonce("CurveZMQINITIATE", 2), shared)
        return CurveInitiate(cookie: cookie, number: 2, box: box).bytes
    }

    private func ready(holding text: ArraySlice<UInt8>) -> [UInt8] {
        CurveReady(number: 1, box: Box.seal(Array(text), Nonce("CurveZMQREADY---", 1), shared)).bytes
    }

    private func message(holding text: ArraySlice<UInt8>) -> [UInt8] {
        let box = Box.seal(Array(text), Nonce("CurveZMQMESSAGEC", 3), shared)
        return ZMTPCommand.encode("MESSAGE", [0, 0, 0, 0, 0, 0, 0, 3] + box)
    }
}
