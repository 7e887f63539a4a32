// How holdfast authorize changes one client of a file and leaves everything else as it was.
import Testing
import Wire

@testable import Configuration

@Suite struct ClientsTextTests {
    private static func key(_ number: UInt8) -> PublicKey {
        PublicKey(bytes: Array(repeating: number, count: 32))!
    }
    private let one = key(1)
    private let two = key(2)
    private let three = key(3)

    private func with(_ client: AllowedClient, in text: String?) throws -> String {
        try ClientsFile.text(text, with: client, name: "clients.toml")
    }

    /// A file as a person keeps it.
    private var kept: String {
        """
        # The desk's clients.

        # Alice, until March
        [[client]]   # first
        name = "desk"  # as in the directory
        # her laptop's
        key = "\(one)"  # made in October
        topics = [ # these
            "md/itch/", # all of it
            "md/quotes/",
        ]

        # Operations
        [[ "client" ]]
        operate = true
        key = '\(two)'
        name = "o\\"ps#[1]"
        # the end
        """
    }

    @Test func `a file that does not exist begins with what it is`() throws {
        let text = try with(AllowedClient(name: "desk", key: one), in: nil)
        #expect(
            text == """
                # Who may connect to this host from beyond it: written by holdfast authorize, and by hand.

                [[client]]
                name = "desk"
                key = "\(one)"

                """)
    }

    @Test func `a new client stands behind all others`() throws {
        let new = AllowedClient(name: "new", key: three, topics: ["md/itch/AAPL/"], mayOperate: true)
        #expect(
            try with(new, in: kept) == kept
                + "\n\n[[client]]\nname = \"new\"\nkey = \"\(three)\"\ntopics = [\"md/itch/AAPL/\"]\noperate = true\n"
        )
    }

    @Test func `a new key stands in the place of the old one, and comments stay`() throws {
        let client = AllowedClient(name: "desk", key: three, topics: ["md/itch/"])
        let expected = kept.replacing("\(one)", with: "\(three)").replacing(
            """
            topics = [ # these
                "md/itch/", # all of it
                "md/quotes/",
            ]
            """, with: "topics = [\"md/itch/\"]  # these")
        #expect(try with(client, in: kept) == expected)
    }

    @Test func `what is taken back is said, what is given is added`() throws {
        let text = try with(AllowedClient(name: "o\"ps#[1]", key: two, topics: ["md/"]), in: kept)
        #expect(
            text
                == kept.replacing("operate = true", with: "operate = false").replacing(
                    "'\(two)'", with: "\"\(two)\""
                )
                .replacing("name = \"o\\\"ps#[1]\"\n", with: "name = \"o\\\"ps#[1]\"\ntopics = [\"md/\"]\n"))
    }

    @Test func `the same again changes nothing`() throws {
        let client = AllowedClient(name: "desk", key: one, topics: ["md/itch/"], mayOperate: true)
        let text = try with(client, in: kept)
        #expect(try with(client, in: text) == text)
    }

    @Test func `a long list takes a line for each topic`() throws {
        let topics = (1...20).map { "md/quotes/SYMBOL\($0)/" }
        let client = AllowedClient(name: "x", key: three, topics: topics)
        let text = try with(client, in: kept)
        #expect(text.contains("topics = [\n    \"md/quotes/SYMBOL1/\",\n"))
        #expect(try ClientsFile.parse(text, name: "clients.toml")[three] == client)
        let less = AllowedClient(name: "x", key: three)
        #expect(
            try with(less, in: text) == kept
                + "\n\n[[client]]\nname = \"x\"\nkey = \"\(three)\"\ntopics = []\n")
    }

    @Test func `a client is taken out with its own lines only`() throws {
        let text = try ClientsFile.text(kept, without: "desk", name: "clients.toml")
        #expect(
            text == """
                # The desk's clients.

                # Alice, until March
                # Operations
                [[ "client" ]]
                operate = true
                key = '\(two)'
                name = "o\\"ps#[1]"
                # the end
                """)
        let none = try ClientsFile.text(text, without: "o\"ps#[1]", name: "clients.toml")
        #expect(none == "# The desk's clients.\n\n# Alice, until March\n# Operations\n# the end")
        #expect(try ClientsFile.text(none, without: "nobody", name: "clients.toml") == none)
    }

    @Test(arguments: [
        "client = [{name = \"a\", key = \"KEY\"}]", "client = [\n{name = \"a\", key = \"KEY\"}\n]",
        "[[client]]\n\"na\\u006de\" = \"a\"\n\"\\u006bey\" = \"KEY\"",
    ])
    func `a file in another style is left to a person`(text: String) {
        let text = text.replacing("KEY", with: one.description)
        for client in [AllowedClient(name: "a", key: two), AllowedClient(name: "b", key: two)] {
            guard let changed = try? with(client, in: text) else { continue }
            // If it could be done, it is right.
            let list = try? ClientsFile.parse(changed, name: "clients.toml")
            #expect(list?[two] == client && list?.clients.contains { $0.key == one } == (client.name == "b"))
        }
    }

    @Test func `a file that is not good is not changed`() {
        #expect(throws: ConfigurationError.self) {
            try with(AllowedClient(name: "a", key: one), in: "[[client]]\nname = \"b\"\n")
        }
    }

    @Test func `a cut or a changed byte anywhere stops neither the reader nor the change`() {
        let bytes = Array(kept.utf8)
        let client = AllowedClient(name: "desk", key: three, topics: ["md/quotes/"])
        for place in stride(from: 0, to: bytes.count, by: 3) {
            var texts = [Array(bytes[..<place])]
            for byte in "\"'[]{}#=\\\n,x".utf8 {
                var text = bytes
                text[place] = byte
                texts.append(text)
            }
            for text in texts {
                // What is not refused is what was asked for; the others on the list stay as they were.
                let text = String(decoding: text, as: UTF8.self)
                guard let changed = try? with(client, in: text) else { continue }
                let before = try? ClientsFile.parse(text, name: "clients.toml")
                let after = try? ClientsFile.parse(changed, name: "clients.toml")
                #expect(after?[three] == client)
                #expect(
                    after?.clients.filter { $0.name != "desk" }
                        == before?.clients.filter { $0.name != "desk" })
                _ = try? ClientsFile.text(text, without: "desk", name: "clients.toml")
            }
        }
    }

    @Test func `line ends of other systems are kept`() throws {
        let text = "# a\r\n[[client]]\r\nname = \"a\"\r\nkey = \"\(one)\"\r\n"
        #expect(
            try with(AllowedClient(name: "a", key: two), in: text)
                == "# a\r\n[[client]]\r\nname = \"a\"\r\nkey = \"\(two)\"\n")
    }

    @Test func `a key of another client is refused`() {
        #expect {
            try with(AllowedClient(name: "x", key: one), in: kept)
        } throws: { error in
            (error as? ConfigurationError)?.description.contains("is the key of \"desk\" already") == true
        }
    }
}
