// Rules for plain values: numbers in a range, durations, words of a list, names.
import Basics

enum Rules {
    static let flag: Rule<Bool> = { setting, place in
        guard case .flag(let flag) = setting else {
            place.refuse(setting, "must be true or false, without quotes")
            return nil
        }
        return flag
    }

    static func integer(_ range: ClosedRange<Int>) -> Rule<Int> {
        { setting, place in
            guard case .integer(let value) = setting, let number = Int(exactly: value), range.contains(number)
            else {
                place.refuse(
                    setting, "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
                return nil
            }
            return number
        }
    }

    /// A channel's number.
    static let channel: Rule<UInt16> = { setting, place in
        integer(0...Int(UInt16.max))(setting, place).map { UInt16($0) }
    }

    /// A ratio from 0 to 1, as a number.
    static let ratio: Rule<Double> = { setting, place in
        let value: Double? =
            switch setting {
            case .integer(let whole): Double(whole)
            case .number(let number): number
            case .text, .flag, .list, .table, .other: nil
            }
        guard let value, (0...1).contains(value) else {
            place.refuse(setting, "must be a number from 0 to 1; 2 % is 0.02")
            return nil
        }
        return value
    }

    static func duration(_ shortest: Duration, _ longest: Duration) -> Rule<Duration> {
        { setting, place in
            guard case .text(let text) = setting, let value = Duration(written: text) else {
                place.refuse(
                    setting, "must be a number and its unit in quotes, such as \"100ms\", \"1.5s\" or \"2m\"")
                return nil
            }
            guard value >= shortest, value <= longest else {
                place.refuse(setting, "must be from \"\(shortest.written)\" to \"\(longest.written)\"")
                return nil
            }
            return value
        }
    }

    /// One of an enumeration's words.
    static func word<T: RawRepresentable & CaseIterable & SendableMetatype>(_ type: T.Type) -> Rule<T>
    where T.RawValue == String {
        let words = T.allCases.map(\.rawValue)
        return { setting, place in
            if case .text(let text) = setting, let value = T(rawValue: text) { return value }
            let list = words.map { "\"\($0)\"" }.joined(separator: ", ")
            guard case .text(let text) = setting, let near = nearest(to: text, among: words) else {
                place.refuse(setting, "must be one of \(list)")
                return nil
            }
            place.refuse(setting, "must be one of \(list); did you mean \"\(near)\"?")
            return nil
        }
    }

    /// Text that `accepts` takes; `advice` says what would be right.
    static func text(_ advice: String, _ accepts: @escaping @Sendable (String) -> Bool) -> Rule<String> {
        { setting, place in
            guard case .text(let text) = setting, accepts(text) else {
                place.refuse(setting, advice)
                return nil
            }
            return text
        }
    }

    /// Processors, as the kernel lists them.
    static let processors: Rule<CPUList?> = { setting, place in
        guard case .text(let text) = setting, let list = CPUList(parsing: text), !list.isEmpty else {
            place.refuse(setting, "must be a list of processors in quotes, such as \"3\" or \"2-3,8\"")
            return nil
        }
        return list
    }

    /// A list of values, each of which `rule` takes, none of them twice.
    static func list<T: Hashable & SendableMetatype>(_ count: ClosedRange<Int>, of rule: @escaping Rule<T>)
        -> Rule<[T]>
    {
        { setting, place in
            guard case .list(let items) = setting else {
                place.refuse(setting, "must be a list, such as [\(setting.spelled)]")
                return nil
            }
            guard count.contains(items.count) else {
                place.refuse(
                    "\(items.count) items; must have from \(count.lowerBound) to \(count.upperBound)")
                return nil
            }
            var values: [T] = []
            for (index, item) in items.enumerated() {
                guard let value = rule(item, place.item(index)) else { continue }
                if values.contains(value) { place.item(index).refuse(item, "stands here twice") }
                values.append(value)
            }
            return values.count == items.count ? values : nil
        }
    }

    /// A name for subjects and topics.
    static let name = text("must be 1 to 64 bytes without spaces, slashes and control characters", isName)

    static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count) && text.unicodeScalars.allSatisfy(isPlain) && !text.contains("/")
    }

    /// An absolute path of a file.
    static let file = text("must be an absolute path, which begins with /") { text in
        text.hasPrefix("/") && text.utf8.count < 4096 && !text.unicodeScalars.contains { $0.value < 0x20 }
    }

    static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
        !scalar.properties.isWhitespace && scalar.value > 0x20 && !(0x7F..<0xA0).contains(scalar.value)
    }
}
