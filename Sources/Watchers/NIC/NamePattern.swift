// Names of interfaces as an operator writes them: plain, or with `*` for any run of characters.

/// A name, or a pattern of names.
public struct NamePattern: Hashable, Sendable {
    public let text: String

    public init(_ text: String) { self.text = text }

    /// Whether it can stand for more than one name.
    public var isWildcard: Bool { text.utf8.contains(UInt8(ascii: "*")) }

    /// Whether a name fits. Time is proportional to the product of the lengths, at worst.
    public func matches(_ name: String) -> Bool {
        let pattern = Array(text.utf8)
        let name = Array(name.utf8)
        var at = (pattern: 0, name: 0)
        var star: (pattern: Int, name: Int)?
        while at.name < name.count {
            if at.pattern < pattern.count, pattern[at.pattern] == UInt8(ascii: "*") {
                star = (at.pattern, at.name)
                at.pattern += 1
            } else if at.pattern < pattern.count, pattern[at.pattern] == name[at.name] {
                at = (at.pattern + 1, at.name + 1)
            } else if let last = star {
                star = (last.pattern, last.name + 1)
                at = (last.pattern + 1, last.name + 1)
            } else {
                return false
            }
        }
        return pattern[at.pattern...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
