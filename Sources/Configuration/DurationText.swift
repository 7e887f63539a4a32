// Durations as people write them: "100ms", "1.5s", "30m". Exact in nanoseconds, no floating point.

extension Duration {
    private static let units: [(name: String, nanoseconds: Int64)] = [
        ("ns", 1), ("us", 1000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000),
        ("h", 3_600_000_000_000), ("d", 86_400_000_000_000),
    ]

    /// Reads a number, with up to 9 decimals, and its unit (ns, us, ms, s, m, h, d) without a space; `nil` for
    /// anything else, and for more than 292 years.
    public init?(written text: String) {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        guard let unit = Self.units.first(where: { $0.name == text[digits.endIndex...] }) else { return nil }
        let parts = digits.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let whole = Int64(first) else { return nil }
        let (product, overflow) = whole.multipliedReportingOverflow(by: unit.nanoseconds)
        guard !overflow else { return nil }
        guard parts.count == 2 else {
            self = .nanoseconds(product)
            return
        }
        guard (1...9).contains(parts[1].count), let decimals = Int64(parts[1]) else { return nil }
        let scale = (0..<parts[1].count).reduce(Int64(1)) { result, _ in result * 10 }
        // Whole and rest of the unit apart, so that nothing below a day's 9 decimals overflows.
        let rest = decimals * (unit.nanoseconds / scale) + decimals * (unit.nanoseconds % scale) / scale
        let (sum, carried) = product.addingReportingOverflow(rest)
        guard !carried else { return nil }
        self = .nanoseconds(sum)
    }

    /// The duration in the largest unit in which it is a whole number: `1500ms`, `3s`.
    public var written: String {
        let nanoseconds = components.seconds.multipliedReportingOverflow(by: 1_000_000_000)
        guard !nanoseconds.overflow else { return "\(components.seconds)s" }
        let (total, overflow) = nanoseconds.partialValue.addingReportingOverflow(
            components.attoseconds / 1_000_000_000)
        guard !overflow, total != 0 else { return "\(components.seconds)s" }
        let unit = Self.units.last { total % $0.nanoseconds == 0 } ?? Self.units[0]
        return "\(total / unit.nanoseconds)\(unit.name)"
    }
}
