// Lists of processors as the kernel writes them: `0-3,8`. Source: the kernel's cputopology document, "CPU lists".

/// A set of processors by number.
public struct CPUList: Hashable, Sendable, CustomStringConvertible {
    /// The kernel's own bound (NR_CPUS) on the architectures that Debian has.
    public static let most = 8192

    /// Ascending, each once.
    public private(set) var numbers: [Int]

    public init(_ numbers: some Sequence<Int>) {
        self.numbers = Set(numbers.filter { (0..<CPUList.most).contains($0) }).sorted()
    }

    /// Reads a list. None is an empty text, or `(null)`, which the kernel writes for nohz_full.
    public init?(parsing text: some StringProtocol) {
        let trimmed = text.trimmingSpaces
        guard !trimmed.isEmpty, trimmed != "(null)" else {
            self.init([])
            return
        }
        var found: [Int] = []
        for part in trimmed.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { CPUList.number($0) }
            guard ends.count <= 2, let low = ends.first ?? nil, let high = ends.last ?? nil, low <= high
            else {
                return nil
            }
            found.append(contentsOf: low...high)
            // Overlaps may repeat numbers, but not without end.
            guard found.count <= 2 * CPUList.most else { return nil }
        }
        self.init(found)
    }

    private static func number(_ text: some StringProtocol) -> Int? {
        guard (1...4).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }) else {
            return nil
        }
        return Int(text).flatMap { $0 < most ? $0 : nil }
    }

    public var isEmpty: Bool { numbers.isEmpty }
    public var count: Int { numbers.count }

    /// What is left without the other's processors.
    public func without(_ other: CPUList) -> CPUList {
        let others = Set(other.numbers)
        return CPUList(numbers.filter { !others.contains($0) })
    }

    public func union(_ other: CPUList) -> CPUList { CPUList(numbers + other.numbers) }

    /// As the kernel writes it.
    public var description: String {
        var ranges: [ClosedRange<Int>] = []
        for number in numbers {
            if let last = ranges.last, last.upperBound + 1 == number {
                ranges[ranges.count - 1] = last.lowerBound...number
            } else {
                ranges.append(number...number)
            }
        }
        return ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
            .joined(separator: ",")
    }
}

extension StringProtocol {
    fileprivate var trimmingSpaces: SubSequence {
        var rest = self[...]
        while let last = rest.last, last.isWhitespace { rest.removeLast() }
        while let first = rest.first, first.isWhitespace { rest.removeFirst() }
        return rest
    }
}
