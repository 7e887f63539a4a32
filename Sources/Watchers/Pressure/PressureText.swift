// What /proc says of pressure, memory and load, decoded from bytes without building strings. Sources: the kernel's
// document on pressure stall information; proc_meminfo(5); proc_loadavg(5).
import Basics

/// One of /proc/pressure/cpu, memory and io.
public struct PressureStall: Hashable, Sendable {
    /// The share of the last 10 s in which some task waited, from 0 to 1.
    public var some: Double
    /// … in which all tasks that were not idle waited; `nil`: the file has no such line, as of processors before
    /// Linux 5.13.
    public var full: Double?

    /// `nil` for what is not of this form.
    public init?(_ bytes: some Collection<UInt8>) {
        var lines: [(name: Bool, share: Double)] = []
        for line in bytes.split(separator: 0x0A, maxSplits: 4) {
            let fields = line.split(separator: 0x20, maxSplits: 5)
            guard let name = fields.first, fields.count >= 2, fields[1].starts(with: "avg10=".utf8),
                let percent = DecimalText.number(fields[1].dropFirst(6)), (0...100.5).contains(percent)
            else { return nil }
            let isFull = name.elementsEqual("full".utf8)
            guard isFull || name.elementsEqual("some".utf8) else { return nil }
            lines.append((isFull, min(percent, 100) / 100))
        }
        guard let some = lines.first(where: { !$0.name }) else { return nil }
        self.some = some.share
        full = lines.first { $0.name }?.share
    }
}

/// What Holdfast uses of /proc/meminfo, in bytes.
public struct MemoryState: Hashable, Sendable {
    public var total: Int64
    /// `nil`: a kernel before 3.14, or another file.
    public var available: Int64?
    public var swapTotal: Int64
    public var swapFree: Int64

    public init?(_ bytes: some Collection<UInt8>) {
        func kilobytes(_ line: some Collection<UInt8>) -> Int64? {
            guard let value = DecimalText.integer(line.drop { $0 == 0x20 }.prefix { $0 != 0x20 }) else {
                return nil
            }
            let (product, overflow) = value.multipliedReportingOverflow(by: 1024)
            return overflow ? nil : product
        }
        var (total, available): (Int64?, Int64?) = (nil, nil)
        var (swapTotal, swapFree): (Int64, Int64) = (0, 0)
        for line in bytes.split(separator: 0x0A, maxSplits: 200) {
            guard let colon = line.firstIndex(of: 0x3A) else { continue }
            let name = line[..<colon]
            let rest = line[line.index(after: colon)...]
            if name.elementsEqual("MemTotal".utf8) { total = kilobytes(rest) }
            if name.elementsEqual("MemAvailable".utf8) { available = kilobytes(rest) }
            if name.elementsEqual("SwapTotal".utf8) { swapTotal = kilobytes(rest) ?? 0 }
            if name.elementsEqual("SwapFree".utf8) { swapFree = kilobytes(rest) ?? 0 }
        }
        guard let total, total > 0 else { return nil }
        self.total = total
        self.available = available
        self.swapTotal = swapTotal
        self.swapFree = swapFree
    }
}

/// /proc/loadavg.
public struct LoadAverage: Hashable, Sendable {
    /// Over 1, 5 and 15 minutes.
    public var averages: [Double]

    public init?(_ bytes: some Collection<UInt8>) {
        let fields = bytes.split(separator: 0x20, maxSplits: 4).prefix(3).compactMap {
            DecimalText.number($0)
        }
        guard fields.count == 3 else { return nil }
        averages = fields
    }
}

/// Decimal numbers in files of the kernel.
public enum DecimalText {
    /// Digits with an optional sign, and spaces or a line's end behind; `nil` for anything else, and beyond 18 digits.
    public static func integer(_ bytes: some Collection<UInt8>) -> Int64? {
        let isNegative = bytes.first == 0x2D
        let digits = (isNegative ? bytes.dropFirst() : bytes[...]).prefix { $0 > 0x20 }
        guard (1...18).contains(digits.count), digits.allSatisfy({ (48...57).contains($0) }) else {
            return nil
        }
        let value = digits.reduce(Int64(0)) { $0 * 10 + Int64($1 - 48) }
        return isNegative ? -value : value
    }

    /// Digits, at most one point, digits.
    public static func number(_ bytes: some Collection<UInt8>) -> Double? {
        let text = bytes.prefix { $0 > 0x20 }
        let parts = text.split(separator: 0x2E, maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first.flatMap({ integer($0) }), whole >= 0 else { return nil }
        guard parts.count == 2 else { return Double(whole) }
        guard parts[1].count <= 9, let fraction = integer(parts[1]), fraction >= 0 else { return nil }
        let divisor = parts[1].reduce(1.0) { scale, _ in scale * 10 }
        return Double(whole) + Double(fraction) / divisor
    }
}
