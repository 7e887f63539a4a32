// Keys as values, and what a list of clients says of who is at the other end.
import Testing
import Wire

@Suite struct AccessTests {
    private let desk = AllowedClient(name: "desk", key: key(1), topics: ["md/itch/"])
    private let ops = AllowedClient(name: "ops", key: key(2), mayOperate: true)

    private static func key(_ number: UInt8) -> PublicKey {
        PublicKey(bytes: Array(repeating: number, count: 32))!
    }

    @Test func `a public key has one text`() throws {
        let text = "ctPe3&^xpm0MENSPH3l9O^EfB.Ym@.KnjD>[btBc"
        let key = try #require(PublicKey(text))
        #expect(key.description == text && key.bytes.count == 32)
        #expect(PublicKey(bytes: key.bytes) == key)
    }

    @Test(arguments: [
        "", "ctPe3&^xpm0MENSPH3l9O^EfB.Ym@.KnjD>[btB", "ctPe3&^xpm0MENSPH3l9O^EfB.Ym@.KnjD>[btBcc",
        "ctPe3&^xpm0MENSPH3l9O^EfB.Ym@.KnjD>[btBcaaaaa", "ctPe3&^xpm0MENSPH3l9O^EfB.Ym@.KnjD>[btB ",
        "ctPe3&^xpm0MENSPH3l9O^EfB.Ym@.KnjD>[btB\"", "#####&^xpm0MENSPH3l9O^EfB.Ym@.KnjD>[btBc",
        "ctPe3&^xpm0MENSPH3l9O^EfB.Ym@.KnjD>[btBé",
    ])
    func `what is no key is none`(text: String) {
        #expect(PublicKey(text) == nil && SecretKey(text) == nil)
    }

    @Test func `a secret key shows itself to nobody`() throws {
        let secret = try #require(SecretKey("ctPe3&^xpm0MENSPH3l9O^EfB.Ym@.KnjD>[btBc"))
        let pair = KeyPair(publicKey: Self.key(1), secretKey: secret)
        var dumped = ""
        dump(pair, to: &dumped)
        for shown in ["\(secret)", "\(pair)", String(reflecting: secret), String(reflecting: pair), dumped] {
            #expect(
                !shown.contains("ctPe3") && !shown.contains("\(secret.bytes[0]), \(secret.bytes[1])"),
                "\(shown)")
        }
    }

    @Test func `who may operate`() {
        #expect(Caller.open.mayOperate && Caller.client(ops).mayOperate)
        #expect(!Caller.client(desk).mayOperate && !Caller.stranger.mayOperate)
    }

    @Test(arguments: [
        ("tcp://*:5555", "tcp://127.0.0.1:5555", true), ("tcp://0.0.0.0:5555", "tcp://*:5555", true),
        ("tcp://10.0.0.1:5555", "tcp://10.0.0.2:5555", false), ("tcp://*:5555", "tcp://*:5556", false),
        ("ipc:///a", "ipc:///a", true), ("ipc:///a", "ipc:///b", false), ("ipc:///a", "tcp://*:1", false),
    ])
    func `endpoints that cannot both be bound`(one: String, other: String, clash: Bool) throws {
        let (one, other) = (try #require(Endpoint(bound: one)), try #require(Endpoint(bound: other)))
        #expect(one.clashes(with: other) == clash && other.clashes(with: one) == clash)
    }

    @Test(arguments: [
        "tcp://*:0", "tcp://*:", "tcp://*", "tcp://*:*", "tcp://0.0.0.0:65536", "tcp://eth0:1",
        "tcp://localhost:1", "tcp://0.0.0.1:1", "tcp://239.1.1.1:1", "ipc://x", "*",
    ])
    func `what cannot be bound is no such endpoint`(text: String) {
        #expect(Endpoint(bound: text) == nil)
    }

    @Test(arguments: [
        ("tcp://*:1", false), ("tcp://0.0.0.0:1", false), ("tcp://10.0.0.1:1", false),
        ("tcp://127.0.0.1:1", true), ("ipc:///a", true),
    ])
    func `whether a bound endpoint is local`(text: String, isLocal: Bool) {
        #expect(Endpoint(bound: text)?.isLocal == isLocal && Endpoint.isLocal(text) == isLocal)
    }
}
