// Text to settings: the only file of the project that knows the TOML library. The library recurses over what it
// reads and ends the process over some texts, so the text is checked first.
import CTOML

enum Syntax {
    /// The longest file that is read, in bytes.
    static let longestText = 1 << 20
    private static let deepestNesting = 32

    /// The settings of a text, by key.
    static func parse(_ text: String) throws(ConfigurationProblem.Refused) -> [String: Setting] {
        try check(text)
        let document = try Document(text, deepest: deepestNesting)
        guard case .table(let settings) = document.next()?.value else { return [:] }
        return settings
    }

    private static func check(_ text: String) throws(ConfigurationProblem.Refused) {
        guard text.utf8.count <= longestText else {
            throw .init(.init(advice: "longer than \(longestText) bytes, which is the limit"))
        }
        if text.contains("\\u0000") || text.contains("\\U00000000") {
            throw .init(.init(advice: "an escaped NUL (\\u0000), which no value has"))
        }
        try TextShape.check(text)
    }
}

/// A text that the library has read; its values are taken out one after the other.
@safe private struct Document: ~Copyable {
    private let handle: OpaquePointer

    init(_ text: String, deepest: Int) throws(ConfigurationProblem.Refused) {
        var text = text
        var words = [CChar](repeating: 0, count: Int(CTOML_ERROR_BYTES))
        var line: Int32 = 0
        let read = text.withUTF8 { bytes in
            unsafe bytes.withMemoryRebound(to: CChar.self) {
                unsafe ctoml_read($0.baseAddress, $0.count, Int32(deepest), &words, &line)
            }
        }
        guard let read = unsafe read else {
            let told = String(decoding: words.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            throw .init(
                .init(line: line > 0 ? Int(line) : nil, advice: "syntax: " + Setting.printable(told, 200)))
        }
        unsafe handle = read
    }

    deinit { unsafe ctoml_free(handle) }

    /// The next value with all that is in it; `nil`: the table or list ends here.
    func next() -> (key: String, value: Setting)? {
        var item = unsafe ctoml_item()
        guard unsafe ctoml_next(handle, &item) == 1, let value = unsafe value(of: item) else { return nil }
        return (unsafe Document.text(item.key, item.key_bytes), value)
    }

    /// `nil`: it is an end.
    private func value(of item: ctoml_item) -> Setting? {
        switch unsafe item.kind {
        case CTOML_TABLE: .table(members())
        case CTOML_LIST: .list(items())
        case CTOML_TEXT: .text(unsafe Document.text(item.text, item.text_bytes))
        case CTOML_INTEGER: .integer(unsafe item.integer)
        case CTOML_NUMBER: .number(unsafe item.number)
        case CTOML_FLAG: .flag(unsafe item.integer != 0)
        case CTOML_DATE: .other("a date")
        case CTOML_TIME: .other("a time of day")
        case CTOML_DATE_TIME: .other("a date and time")
        case CTOML_TOO_DEEP: .other("a value nested too deep")
        default: nil
        }
    }

    private func members() -> [String: Setting] {
        var members: [String: Setting] = [:]
        while let (key, value) = next() { members[key] = value }
        return members
    }

    private func items() -> [Setting] {
        var items: [Setting] = []
        while let (_, value) = next() { items.append(value) }
        return items
    }

    private static func text(_ bytes: UnsafePointer<CChar>?, _ count: Int) -> String {
        unsafe String(
            decoding: UnsafeRawBufferPointer(start: bytes, count: bytes == nil ? 0 : count), as: UTF8.self)
    }
}

extension ConfigurationProblem {
    /// The problem of a text whose syntax is not understood, thrown.
    struct Refused: Error {
        var problem: ConfigurationProblem

        init(_ problem: ConfigurationProblem) { self.problem = problem }
    }
}
