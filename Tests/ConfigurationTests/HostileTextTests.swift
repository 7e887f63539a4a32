// Files that nobody means to write: the reader refuses them and never stops.
import Testing

@testable import Configuration

@Suite struct HostileTextTests {
    @Test(arguments: [
        "host = 9223372036854775808", "host = -9223372036854775809", "host = 0xFFFFFFFFFFFFFFFFF",
        "[nic]\nflap_count = 9223372036854775807", "[nic]\nflap_count = -9223372036854775808",
        "[nic]\nflap_count = 1e300", "[nic]\nflap_count = inf",
        "[bus]\nstate_every = \"99999999999999999999s\"",
        "host = 1979-05-27", "host = 07:32:00.999999999", "host = 1979-05-27T07:32:00Z", "host = 0000-00-00",
        "host = [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]", "host = {a = {b = {c = 1}}}", "[[host]]\na = 1",
        "\"a\\u0000b\" = 1", "host = \"a\\u0000b\"", "\"\" = 1", "[\"\"]\na = 1", "\"[0]\" = 1",
        "a.b.c.d.e.f = 1",
        "= 1", "[", "[[", "]]", "\"", "'''", "host = \"\\ud800\"", "host = \"\u{1}\"",
        "[bus.publish.x]\na = 1",
        "[[path.isp]]\n[[path.isp.name]]\na = 1", "path.isp = [1, \"a\", [2], {name = 3}]", "path = []",
    ])
    func `is refused`(text: String) {
        #expect(!agentProblems(text).isEmpty)
    }

    /// Texts over which the library ends the process, most of them found by fuzzing it.
    @Test(arguments: [
        ("[&", "a header without a name"), ("[\n", "a header without a name"),
        ("[ \t\n", "a header without a name"),
        ("[[\r\n", "a header without a name"), ("[[[a]]]", "a header without a name"),
        ("[#", "a header without a name"), ("[=]", "a header without a name"),
        ("[é]", "a header without a name"),
        ("\u{FEFF}[&", "a header without a name"), (" [[ &", "a header without a name"),
        ("a = [1, }", "a } that closes nothing"), ("a = {b = 2, c = [1,}21]", "a } that closes nothing"),
        ("a = 1979-05-28T)7:00", "1979-05-28T)7:00: a value is a number, true, false, or text in quotes"),
        ("a = 1979-05-27T'7:32:00'", "1979-05-27T: a value is"), ("a = [\n1,\n07:3x\n]", "07:3x: a value is"),
        ("a = {b = 1, c = 1979-05-28T)7:00}", "1979-05-28T)7:00: a value is"),
        ("a.b = -", "-: a value is"), ("a = tru", "tru: a value is"), ("host = fra-1", "fra-1: a value is"),
        ("a = [\u{A0}]", ": a value is"), ("a = 1]\n[&", "a ] that closes nothing"),
    ])
    func `is refused before the library reads it`(text: String, advice: String) {
        let problems = agentProblems(text)
        #expect(
            problems.count == 1 && problems[0].contains("syntax: ") && problems[0].contains(advice),
            "\(problems)")
    }

    @Test(arguments: [
        "1", "-1", "+1_000", "0x1F", "0o17", "0b101", "1.5", "-1.5e-3", "1E5", "inf", "-nan", "true",
    ])
    func `a value without quotes is left to its key`(value: String) {
        let told = "agent.toml:1: nonsense: unknown key"
        #expect(agentProblems("nonsense = \(value)")[0].hasPrefix(told))
        #expect(agentProblems("nonsense = [\n\(value), # x\n[\(value)],{a=\(value)}]")[0].hasPrefix(told))
    }

    @Test(arguments: [
        "", "+", "-", ".", "_1", "1_.", "1.", ".5", "1e", "1e+", "0x", "0xg", "0o8", "0b2", "infinity", "1-1",
        "1:1",
        "TRUE", "1é",
    ])
    func `what is no value without quotes is none`(word: String) {
        #expect(!BareValue.isValue(Array(word.utf8)))
    }

    @Test(arguments: [
        "client = 5", "client = [5]", "client = {}", "[[client]]\n[[client.key]]\na = 1",
        "[[client]]\nkey = [1]",
        "[[client]]\ntopics = {}", "[[client]]\ntopics = [[\"md/\"]]", "[[client]]\nname = \"\"\nkey = \"\"",
        "[[client]]\nname = \"\\u001b\"", "[[client]]\noperate = 1979-05-27", "client.name = 1", "public = 1",
    ])
    func `is refused as a list of clients and as a key`(text: String) {
        #expect(throws: ConfigurationError.self) { try ClientsFile.parse(text, name: "clients.toml") }
        #expect(throws: ConfigurationError.self) {
            try KeyFile.parse(text, name: "host.key", isPair: { _ in true })
        }
    }

    @Test func `deep nesting ends in an error`() {
        let deep = String(repeating: "[", count: 300) + String(repeating: "]", count: 300)
        #expect(!agentProblems("host = " + deep).isEmpty)
        #expect(!agentProblems(String(repeating: "a.", count: 2000) + "a = 1").isEmpty)
    }

    @Test func `nesting that would use up the library's stack is refused first`() {
        let open = "{" + String(repeating: "b.", count: 2000) + "b=[\n"
        let deep = "a=[\n" + String(repeating: open, count: 120) + String(repeating: "]}", count: 120) + "]\n"
        #expect(agentProblems(deep) == ["agent.toml:2: more than 16 dots; no key has that many parts"])
        let brackets = "a = " + String(repeating: "[\n", count: 100)
        #expect(agentProblems(brackets) == ["agent.toml:9: nested too deep; no key takes that"])
        let quoted =
            "host = \"[[[[[[[[[[[[....................\\\"[[[[[[[[[[[\" # [[[[[[[[[[[[...................."
        #expect(agentProblems(quoted).isEmpty)
    }

    @Test(arguments: ["host = \"\"\"\na\"\"\"", "host = '''a'''"])
    func `strings over several lines are refused`(text: String) {
        #expect(agentProblems(text) == ["agent.toml:1: a string over several lines, which no key takes"])
    }

    @Test func `sizes are bounded`() {
        #expect(
            agentProblems("# " + String(repeating: "x", count: 5000))[0].contains(
                "agent.toml:1: longer than 4096 bytes"))
        let long = String(repeating: "# comment\n", count: 200_000)
        #expect(agentProblems(long) == ["agent.toml: longer than 1048576 bytes, which is the limit"])
        #expect(agentProblems("a\0b") == ["agent.toml:1: a NUL byte, which no text has"])
    }

    @Test func `a long or unprintable value is cut in the message`() {
        let problems = agentProblems("host = \"" + String(repeating: "x", count: 500) + "\"")
        #expect(problems[0].utf8.count < 250)
        #expect(agentProblems("host = \"\\u001b[31m\"")[0].contains("\"?[31m\""))
    }

    @Test func `a cut anywhere in a good file does not stop the reader`() throws {
        let text = try FileText.read(path: ShippedFilesTests.packaging + "/gateway.toml")
            .split(separator: "\n").filter { !$0.hasPrefix("# ") }.map {
                $0.hasPrefix("#") ? $0.dropFirst() : $0
            }
            .joined(separator: "\n")
        for length in stride(from: 0, to: text.utf8.count, by: 7) {
            _ = gatewayProblems(String(decoding: text.utf8.prefix(length), as: UTF8.self))
        }
    }
}
