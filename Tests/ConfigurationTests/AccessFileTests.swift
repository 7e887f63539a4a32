// The files of CURVE: what they may say, who may read them, and how a daemon's file tells what is wrong with them.
import Foundation
import Testing
import Wire

@testable import Configuration

/// A folder of its own for a test's files, removed at the end.
final class Folder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/hftest-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file and returns its path.
    func write(_ name: String, _ text: String, mode: Int) throws -> String {
        let file = path + "/" + name
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
        return file
    }
}

/// The words of the error that a call throws, one line per problem; empty if it throws none.
private func problems(_ call: () throws(ConfigurationError) -> Void) -> [String] {
    do throws(ConfigurationError) {
        try call()
        return []
    } catch {
        return error.description.split(separator: "\n").map(String.init)
    }
}

@Suite struct KeyFileTests {
    private let keys = KeyPair(
        publicKey: exampleKey, secretKey: SecretKey(bytes: Array(repeating: 7 as UInt8, count: 32))!)

    private func problemsOf(_ text: String, isPair: Bool = true) -> [String] {
        problems { () throws(ConfigurationError) in
            _ = try KeyFile.parse(text, name: "host.key", isPair: { _ in isPair })
        }
    }

    @Test func `what is written is read`() throws {
        #expect(try KeyFile.parse(KeyFile.text(of: keys), name: "host.key", isPair: { $0 == keys }) == keys)
    }

    @Test func `halves that are not of one pair are refused`() {
        #expect(
            problemsOf(KeyFile.text(of: keys), isPair: false) == [
                "host.key: public and secret are not of one pair; make a new one with holdfast keygen --replace"
            ])
    }

    @Test(arguments: [
        "public = \"SecretSecretSecretSecretSecretSecretSec\"\nsecret = \"\"",
        "public = \"\"\nsecret = \"SecretSecretSecretSecretSecretSecretSec\"",
        "secret = SecretSecretSecretSecretSecretSecretSecr",
        "secret = \"SecretSecretSecretSecretSecretSecretSecr",
        "secret = SecretSecretSecretSecretSecretSecretSecr\"\npublic = 1",
        "SecretSecretSecretSecretSecretSecretSecr",
        "secret = [\"SecretSecretSecretSecretSecretSecretSecr\"]",
    ])
    func `no message shows what stands in the file`(text: String) {
        let problems = problemsOf(text)
        #expect(!problems.isEmpty)
        #expect(!problems.contains { $0.contains("Secret") || $0.contains("ecretSe") }, "\(problems)")
    }

    @Test func `a missing or misspelt half has its line`() {
        #expect(
            problemsOf("public = \"\(exampleKey)\"\nsekret = \"x\"") == [
                "host.key: secret: is missing and has no default",
                "host.key:2: sekret: unknown key; did you mean secret?",
            ])
        #expect(
            problemsOf("# a key\npublic = 5\nsecret = \"\(exampleKey)\"") == [
                "host.key:2: public: must be 40 characters in quotes, as holdfast keygen writes them"
            ])
    }

    @Test(arguments: [0o640, 0o604, 0o660, 0o610, 0o601, 0o644, 0o700 | 0o007])
    func `a file that others may touch is refused with the command that mends it`(mode: Int) throws {
        let folder = try Folder()
        let file = try folder.write("host.key", KeyFile.text(of: keys), mode: mode)
        #expect(
            problems { () throws(ConfigurationError) in
                _ = try KeyFile.read(path: file, isPair: { _ in true })
            } == [
                "\(file): has mode 0\(String(mode, radix: 8)), and the secret in it is for its owner alone: "
                    + "chmod 600 \(file)"
            ])
    }

    @Test(arguments: [0o600, 0o400]) func `a file of its owner is read`(mode: Int) throws {
        let folder = try Folder()
        let file = try folder.write("host.key", KeyFile.text(of: keys), mode: mode)
        #expect(try KeyFile.read(path: file, isPair: { _ in true }) == keys)
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give a file away"))
    func `a file that belongs to a third user is refused`() throws {
        let folder = try Folder()
        let file = try folder.write("host.key", KeyFile.text(of: keys), mode: 0o600)
        #expect(chown(file, 4_000_001, 4_000_001) == 0)
        let told = problems { () throws(ConfigurationError) in
            _ = try KeyFile.read(path: file, isPair: { _ in true })
        }
        #expect(told.count == 1 && told[0].contains("belongs to the user 4000001"), "\(told)")
    }
}

@Suite struct ClientsFileTests {
    private func problemsOf(_ text: String) -> [String] {
        problems { () throws(ConfigurationError) in _ = try ClientsFile.parse(text, name: "clients.toml") }
    }

    private func key(_ number: UInt8) -> PublicKey {
        PublicKey(bytes: Array(repeating: number, count: 32))!
    }

    @Test func `clients are read with what they may`() throws {
        let list = try ClientsFile.parse(
            """
            [[client]]
            name = "desk"
            key = "\(key(1))"

            [[client]]  # operations
            name = "ops"
            key = "\(key(2))"
            topics = ["md/itch/", "md/quotes/EUR%2FUSD/"]
            operate = true
            """, name: "clients.toml")
        #expect(
            list.clients == [
                AllowedClient(name: "desk", key: key(1)),
                AllowedClient(
                    name: "ops", key: key(2), topics: ["md/itch/", "md/quotes/EUR%2FUSD/"], mayOperate: true),
            ])
    }

    @Test func `nobody at all is a list too`() throws {
        #expect(try ClientsFile.parse("# nobody yet\n", name: "clients.toml").count == 0)
    }

    @Test func `names and keys must differ`() {
        let text = """
            [[client]]
            name = "a"
            key = "\(key(1))"
            [[client]]
            name = "a"
            key = "\(key(2))"
            [[client]]
            name = "b"
            key = "\(key(1))"
            """
        #expect(
            problemsOf(text) == [
                "clients.toml:5: client[1].name: \"a\": another client has this name; names must differ",
                "clients.toml:9: client[2].key: \"\(key(1))\": is the key of \"a\" already",
            ])
    }

    @Test(arguments: [
        ("md/itch", "must end in \"/\", or it would match longer names too"),
        ("md", "must end in \"/\""), ("md/itch/AAPL", "must end in \"/\""),
        ("", "must be a prefix of market-data topics"), ("control/itch/", "must be a prefix"),
        ("state/", "must be a prefix"), ("md//", "must be a prefix"), ("md/a b/", "must be a prefix"),
        ("md/itch/AAPL/x/", "must be a prefix"), ("md/itch/a%2fb/", "must be a prefix"),
        ("md/%41/", "must be a prefix"),
    ])
    func `what is no prefix of topics is refused`(topic: String, advice: String) {
        let told = problemsOf(
            "[[client]]\nname = \"a\"\nkey = \"\(key(1))\"\noperate = false\ntopics = [\"\(topic)\"]")
        #expect(
            told.count == 1
                && told[0].hasPrefix("clients.toml:5: client[0].topics[0]: \"\(topic)\": \(advice)"),
            "\(told)")
    }

    @Test(arguments: ["md/", "md/itch/", "md/itch/AAPL/", "md/itch/*/", "md/a%20b/EUR%2FUSD/"])
    func `what is one is taken`(topic: String) {
        #expect(problemsOf("[[client]]\nname=\"a\"\nkey=\"\(key(1))\"\ntopics=[\"\(topic)\"]").isEmpty)
    }

    @Test(arguments: [
        ("[[client]]\nname = \"a\"", "clients.toml:1: client[0].key: is missing"),
        ("[[client]]\nkey = \"\(exampleKey)\"", "clients.toml:1: client[0].name: is missing"),
        ("[[client]]\nname = \"a\"\nkey = \"\(exampleKey)x\"", "clients.toml:3: client[0].key"),
        ("[[client]]\nname = \"a b\"\nkey = \"\(exampleKey)\"", "clients.toml:2: client[0].name"),
        ("[[client]]\nname = \"a\"\nkey = \"\(exampleKey)\"\noperat = 1", "did you mean operate?"),
        ("[[client]]\nname = \"a\"\nkey = \"\(exampleKey)\"\noperate = \"yes\"", "must be true or false"),
        ("[client]\nname = \"a\"", "write a section [[client]]"),
        ("[[clients]]\nname = \"a\"", "did you mean client?"),
    ])
    func `what does not fit is refused`(text: String, advice: String) {
        let told = problemsOf(text)
        #expect(told.count == 1 && told[0].contains(advice), "\(told)")
    }

    @Test func `its length is bounded`() {
        let one = "[[client]]\nname = \"a\"\n"
        let told = problemsOf(String(repeating: one, count: AllowList.mostClients + 1))
        #expect(told == ["clients.toml: client: 10001 of them; at most 10000"])
    }

    @Test(arguments: [0o664, 0o646, 0o622, 0o666])
    func `a list that others can write is refused`(mode: Int) throws {
        let folder = try Folder()
        let file = try folder.write("clients.toml", "", mode: mode)
        #expect(
            problems { () throws(ConfigurationError) in _ = try ClientsFile.read(path: file) } == [
                "\(file): has mode 0\(String(mode, radix: 8)), and who can write it lets anybody in: "
                    + "chmod go-w \(file)"
            ])
    }

    @Test func `a list that others can read is read`() throws {
        let folder = try Folder()
        #expect(try ClientsFile.read(path: folder.write("clients.toml", "", mode: 0o644)).count == 0)
    }
}

@Suite struct CredentialsTests {
    private let keys = KeyPair(
        publicKey: exampleKey, secretKey: SecretKey(bytes: Array(repeating: 7 as UInt8, count: 32))!)

    private func read(_ text: String) throws(ConfigurationError) -> Credentials? {
        let options = try AgentFile.parse(text, name: "agent.toml")
        return try AgentFile.credentials(for: options, text: text, name: "agent.toml", isPair: { _ in true })
    }

    private func text(in folder: Folder, publish: String = "tcp://10.0.0.1:5555") -> String {
        """
        [curve]
        key = "\(folder.path)/host.key"
        clients = "\(folder.path)/clients.toml"
        [bus]
        publish = ["ipc:///run/a.pub", "\(publish)"]
        """
    }

    @Test func `nothing is read where nothing needs it`() throws {
        let folder = try Folder()
        #expect(try read(text(in: folder, publish: "tcp://127.0.0.1:5555")) == nil)
    }

    @Test func `an endpoint beyond this host needs both files, and says how to make them`() throws {
        let folder = try Folder()
        let told = problems { () throws(ConfigurationError) in _ = try read(text(in: folder)) }
        let start = "agent.toml:5: bus.publish[1]: \"tcp://10.0.0.1:5555\": is beyond this host and needs"
        #expect(
            told == [
                "\(start) a key: run `sudo holdfast keygen \(folder.path)/host.key`; "
                    + "\(folder.path)/host.key: no such file",
                "\(start) a list of who may connect: run `sudo holdfast authorize NAME KEY "
                    + "--file \(folder.path)/clients.toml`; \(folder.path)/clients.toml: no such file",
            ])
    }

    @Test func `what is wrong in the files is told with their lines`() throws {
        let folder = try Folder()
        _ = try folder.write("host.key", KeyFile.text(of: keys), mode: 0o644)
        _ = try folder.write("clients.toml", "[[client]]\nname = \"a\"\nkey = \"b\"", mode: 0o644)
        let told = problems { () throws(ConfigurationError) in _ = try read(text(in: folder)) }
        #expect(told.count == 2)
        #expect(
            told[0].hasSuffix(
                "needs a key: \(folder.path)/host.key: has mode 0644, and the secret in it is for its owner "
                    + "alone: chmod 600 \(folder.path)/host.key"))
        #expect(
            told[1].contains(
                "who may connect: \(folder.path)/clients.toml:3: client[0].key: \"b\": must be a public key"))
    }

    @Test func `good files are credentials`() throws {
        let folder = try Folder()
        _ = try folder.write("host.key", KeyFile.text(of: keys), mode: 0o600)
        _ = try folder.write(
            "clients.toml", "[[client]]\nname = \"a\"\nkey = \"\(exampleKey)\"", mode: 0o644)
        let allowed = AllowList([AllowedClient(name: "a", key: exampleKey)])
        #expect(try read(text(in: folder)) == Credentials(keys: keys, allowed: allowed))
        let file = try folder.write("agent.toml", text(in: folder), mode: 0o644)
        let secured = try AgentFile.readSecured(path: file, isPair: { _ in true })
        #expect(secured.credentials?.allowed == allowed && secured.options.bus.publish.count == 2)
    }

    @Test func `who only connects out needs no list`() throws {
        let folder = try Folder()
        _ = try folder.write("host.key", KeyFile.text(of: keys), mode: 0o600)
        let text = """
            [curve]
            key = "\(folder.path)/host.key"
            clients = "\(folder.path)/clients.toml"
            [[report_to]]
            endpoint = "tcp://10.0.0.9:5570"
            server_key = "\(exampleKey)"
            """
        #expect(try read(text) == Credentials(keys: keys))
    }

    @Test(.enabled(if: geteuid() != 0, "root may read everything"))
    func `files that this user may not read are a finding of their own`() throws {
        let folder = try Folder()
        _ = try folder.write("host.key", KeyFile.text(of: keys), mode: 0)
        _ = try folder.write("clients.toml", "", mode: 0o644)
        #expect { try read(text(in: folder)) } throws: { error in
            (error as? ConfigurationError)?.cause == .forbidden
        }
    }
}

@Suite struct LoginFileTests {
    private let text = "user = \"me\"\npassword = \"secret\"\n"

    private func options(_ file: String) -> String {
        """
        [[feed]]
        name = "itch"
        protocol = "soupbintcp"
        policy = "hot-hot"
        [[feed.path]]
        name = "A"
        endpoint = "tcp://10.0.0.1:17000"
        login_file = "\(file)"
        """
    }

    @Test func `a UPS server's password is read from a file that is kept from others`() throws {
        let folder = try Folder()
        let file = try folder.write("upsd.password", "sesame\nand more\n", mode: 0o600)
        let text = "[ups]\n[[ups.server]]\nhost = \"10.0.0.7\"\nuser = \"me\"\npassword_file = \"\(file)\"\n"
        let configuration = try folder.write("agent.toml", text, mode: 0o644)
        func read() throws(ConfigurationError) -> UPSPassword? {
            try AgentFile.readSecured(path: configuration) { _ in true }.options.ups.servers[0].password
        }
        #expect(try read() == UPSPassword("sesame"))
        _ = try folder.write("upsd.password", "open sesame \t\0\r\n", mode: 0o640)
        #expect(try read() == UPSPassword("open sesame"))
        for (content, mode, words) in [("sesame", 0o644, "mode 0644"), ("\n", 0o600, "the password alone")] {
            _ = try folder.write("upsd.password", content, mode: mode)
            let found = problems { () throws(ConfigurationError) in _ = try read() }
            #expect(
                found.count == 1 && found[0].contains("ups.server[0].password_file")
                    && found[0].contains(words))
            let started = try AgentFile.readSecured(path: configuration, isStart: true) { _ in true }
            let server = started.options.ups.servers[0]
            #expect(server.password == nil && server.passwordTrouble == found.first)
        }
    }

    @Test func `a login is read from a file that only its owner may read`() throws {
        let folder = try Folder()
        let file = try folder.write("itch.login", text, mode: 0o600)
        let login = try LoginFile.read(path: file)
        #expect(login == VenueLogin(user: "me", password: "secret"))
        let configuration = try folder.write("gateway.toml", options(file), mode: 0o644)
        let secured = try GatewayFile.readSecured(path: configuration) { _ in true }
        #expect(secured.options.feeds[0].paths[0].login == login && secured.credentials == nil)
        let proxys = try folder.write("proxy.login", "session = \"1\"\n" + text, mode: 0o600)
        _ = try folder.write("gateway.toml", options(proxys), mode: 0o644)
        let found = problems { () throws(ConfigurationError) in
            _ = try GatewayFile.readSecured(path: configuration) { _ in true }
        }
        #expect(found.count == 1 && found[0].contains("session: is for a gap request proxy"))
    }

    @Test(arguments: [0o644, 0o640, 0o604])
    func `one that others may read is refused, at the path that needs it`(
        mode: Int
    ) throws {
        let folder = try Folder()
        let file = try folder.write("itch.login", text, mode: mode)
        let configuration = try folder.write("gateway.toml", options(file), mode: 0o644)
        let found = problems { () throws(ConfigurationError) in
            _ = try GatewayFile.readSecured(path: configuration) { _ in true }
        }
        #expect(found.count == 1)
        #expect(found[0].hasPrefix("\(configuration):8: feed[0].path[0].login_file: \(file): has mode 0"))
        #expect(found[0].hasSuffix("chmod 600 \(file)"))
    }

    @Test func `whom a feed asks again has a login, too, with a session`() throws {
        let folder = try Folder()
        let first = try folder.write("a.login", "session = \"0001\"\n" + text, mode: 0o600)
        let second = try folder.write("b.login", "session = \"0002\"\n" + text, mode: 0o600)
        let bare = try folder.write("bare.login", text, mode: 0o600)
        let long = try folder.write(
            "long.login", "session = \"1\"\nuser = \"fiver\"\npassword = \"secret\"", mode: 0o600)
        func read(_ files: String...) throws -> RecoverOptions {
            let text = """
                [[feed]]
                name = "bzx"
                protocol = "pitch"
                policy = "hot-hot"
                [feed.recover]
                servers = ["tcp://10.0.0.1:17010", "tcp://10.0.0.2:17010"]
                group = "239.1.1.1:30501"
                login_file = \(files)
                [[feed.path]]
                name = "A"
                group = "239.1.1.1:30001"
                """
            let file = try folder.write("gateway.toml", text, mode: 0o644)
            return try GatewayFile.readSecured(path: file) { _ in true }.options.feeds[0].recover
        }
        let two = try read(first, second)
        #expect(two.login(of: 0) == VenueLogin(session: "0001", user: "me", password: "secret"))
        #expect(two.login(of: 1)?.session == "0002")
        #expect(two.messagesPerRequest == 100 && two.requestsPerMinute == 1500)
        let one = try read(first)
        #expect(one.login(of: 1) == one.login(of: 0) && one.login(of: 0) != nil)
        for (files, words) in [
            ([bare], "session: is missing; a gap request proxy asks for the session"),
            ([long], "user: must be at most 4 characters for a gap request proxy"),
        ] {
            let found = problems { () throws(ConfigurationError) in
                do { _ = try read(files[0]) } catch let error as ConfigurationError { throw error } catch {}
            }
            #expect(found.count == 1 && found[0].contains("feed[0].recover.login_file"), "\(found)")
            #expect(found.allSatisfy { $0.contains(words) && !$0.contains("secret") }, "\(found)")
        }
    }

    @Test func `what is wrong in it is told without showing it`() {
        for text in [
            "user = \"me\"", "user = \"toolong\"\npassword = \"secret\"",
            "user = \"me\"\npassword = \"s ecret\"",
            "user = \"me\"\npassword = \"secretsecret\"", "user = me\npassword = secret", "password = 5",
        ] {
            let found = problems { () throws(ConfigurationError) in
                _ = try LoginFile.parse(text, name: "itch.login")
            }
            #expect(
                !found.isEmpty && !found.contains { $0.contains("secret\"") || $0.contains("s ecret") },
                "\(found)")
        }
    }

    @Test func `no text shows a password`() {
        let login = VenueLogin(user: "me", password: "hunter2")
        var dumped = ""
        dump(login, to: &dumped)
        for shown in ["\(login)", String(reflecting: login), dumped] { #expect(!shown.contains("hunter2")) }
    }
}
