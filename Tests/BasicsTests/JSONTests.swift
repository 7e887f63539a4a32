// JSON both ways, and what a stranger may send instead of it.
import Basics
import Testing

@Suite struct JSONTests {
    @Test func `a document is written on one line in the order of its keys`() throws {
        let document = JSON.object([
            JSON.Member("b", .integer(-5)), JSON.Member("a", .array([.null, .bool(true), .number(0.5)])),
            JSON.Member("c", .object([])), JSON.Member("d", .string("é \"\\\n\r\t\u{1}\u{1F600}")),
        ])
        let text = #"{"b":-5,"a":[null,true,0.5],"c":{},"d":"é \"\\\n\r\t\u0001"# + "\u{1F600}\"}"
        #expect(document.text == text)
        #expect(try JSON(parsing: text) == document)
    }

    @Test(
        arguments: [
            ("0", .integer(0)), ("-0", .integer(0)), ("1.0", .number(1)), ("1e3", .number(1000)),
            ("-1.5E-1", .number(-0.15)), ("9223372036854775807", .integer(.max)),
            ("9223372036854775808", .number(9_223_372_036_854_775_808)),
        ] as [(String, JSON)])
    func `numbers keep what they are`(text: String, value: JSON) throws {
        #expect(try JSON(parsing: text) == value)
    }

    @Test func `numbers convert only exactly`() {
        #expect(JSON.number(3).integer == 3)
        #expect(JSON.number(3.5).integer == nil)
        #expect(JSON.number(1e300).integer == nil)
        #expect(JSON.string("3").integer == nil)
        #expect(JSON.integer(3).double == 3)
        #expect(JSON.number(.infinity).text == "null")
        #expect(JSON.number(.nan).text == "null")
    }

    @Test func `escapes and surrogate pairs are read`() throws {
        #expect(try JSON(parsing: #""\u0041\ud83d\ude00\/\b\f\"\\""#).string == "A\u{1F600}/\u{8}\u{C}\"\\")
    }

    @Test func `the first of two equal keys holds`() throws {
        #expect(try JSON(parsing: #"{"a":1,"a":2}"#)["a"] == .integer(1))
        #expect(JSON.array([])["a"] == nil)
    }

    @Test(arguments: [
        "", " ", "nul", "truth", "{", "}", "[", "[1", "[1,", "[1,]", "[,]", "{\"a\"", "{\"a\":", "{\"a\":1",
        "{\"a\":1,}", "{a:1}", "{1:1}", "\"", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u+123\"", "\"\\u-000\"",
        "\"\n\"",
        "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\\ud800\\", "+1", "01", "-", "-01", ".5", "1.",
        "1e", "1e+", "1e400", "-1e400", "1.2.3", "NaN", "Infinity", "0x10", "1 2", "[] []", "'a'", "// a",
    ])
    func `what is not JSON is refused`(text: String) {
        #expect(throws: JSONError.self) { try JSON(parsing: text) }
    }

    @Test func `nesting is bounded`() throws {
        let deep = JSON.deepestNesting
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(throws: Never.self) { try JSON(parsing: nested(deep)) }
        #expect(throws: JSONError(offset: deep, reason: "nested too deep")) {
            try JSON(parsing: nested(deep + 1))
        }
        #expect(throws: JSONError.self) { try JSON(parsing: String(repeating: "[", count: 1_000_000)) }
        #expect(throws: JSONError.self) { try JSON(parsing: String(repeating: "{\"a\":", count: 1_000_000)) }
    }

    @Test func `an error names the offset`() {
        #expect(throws: JSONError(offset: 6, reason: "expected a value")) { try JSON(parsing: "{\"a\": x}") }
        #expect(throws: JSONError(offset: 3, reason: "nothing may follow the value")) {
            try JSON(parsing: "{} 1")
        }
    }

    @Test func `damaged documents never trap`() {
        let text = Array(#"{"v":1,"a":[1.5e3,-2,null,true,"\u0041\ud83d\ude00x"],"b":{"c":"é"}}"#.utf8)
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<5000 {
            var damaged = text
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                damaged[Int.random(in: 0..<damaged.count, using: &generator)] = UInt8.random(in: 0...255)
            }
            damaged.removeLast(Int.random(in: 0...damaged.count / 2, using: &generator))
            if let value = try? JSON(parsing: damaged) {
                #expect((try? JSON(parsing: value.bytes)) == value)
            }
        }
    }
}
