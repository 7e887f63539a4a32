// A message of the bus as it is read: one value after the other, in the order of its signature, or `nil` where the
// message has something else there.
import CSystemd
import Glibc

/// A value of a variant; kinds that nobody needs are `other`.
public enum BusValue: Hashable, Sendable {
    case text(String)
    case integer(Int64)
    case flag(Bool)
    case bytes([UInt8])
    case other

    public var text: String? { if case .text(let text) = self { text } else { nil } }
    public var integer: Int64? { if case .integer(let value) = self { value } else { nil } }
    public var bytes: [UInt8]? { if case .bytes(let bytes) = self { bytes } else { nil } }
}

/// A message that was received. It lives during the callback that brought it.
@safe
public struct BusMessage {
    private let message: OpaquePointer

    init(_ message: OpaquePointer) { unsafe self.message = message }

    /// The unique name of who sent it, which the bus vouches for.
    public var sender: String? {
        unsafe sd_bus_message_get_sender(message).map { unsafe String(cString: $0) }
    }

    /// A reply as what it is: a result or an error.
    var result: Result<BusMessage, BusFailure> {
        guard unsafe sd_bus_message_is_method_error(message, nil) > 0,
            let error = unsafe sd_bus_message_get_error(message)
        else { return .success(self) }
        let name = unsafe error.pointee.name.map { unsafe String(cString: $0) } ?? "no name"
        let text = unsafe error.pointee.message.map { unsafe String(cString: $0) } ?? ""
        return .failure(BusFailure(name: name, text: text))
    }

    // MARK: - Reading

    /// A string, an object's path or a signature.
    public func text() -> String? {
        guard let (type, _) = peek(), BusMessage.textual.contains(type) else { return nil }
        return string(type)
    }

    /// A number of any width, or a Boolean as 0 or 1.
    public func integer() -> Int64? {
        guard let (type, _) = peek() else { return nil }
        return number(type)
    }

    /// Steps into an array (`a`), a structure (`r`), a dictionary's entry (`e`) or a variant (`v`) with these
    /// contents. `false`: it is not there, or its end is reached.
    public func enter(_ kind: Unicode.Scalar, _ contents: String) -> Bool {
        unsafe sd_bus_message_enter_container(message, BusMessage.type(kind), contents) > 0
    }

    /// Steps out of what was entered, over what was not read of it.
    public func leave() {
        while unsafe sd_bus_message_at_end(message, 0) == 0 {
            guard unsafe sd_bus_message_skip(message, nil) > 0 else { break }
        }
        unsafe sd_bus_message_exit_container(message)
    }

    /// Passes over values of this signature. `false`: something else is there.
    @discardableResult
    public func skip(_ signature: String) -> Bool { unsafe sd_bus_message_skip(message, signature) >= 0 }

    /// The value in a variant.
    public func variant() -> BusValue? {
        guard let (type, contents) = peek(), type == BusMessage.type("v"), let contents,
            enter("v", contents)
        else { return nil }
        defer { leave() }
        return value(contents)
    }

    /// The members of a dictionary of variants (`a{sv}`) that have these names.
    public func properties(_ wanted: Set<String>) -> [String: BusValue] {
        var found: [String: BusValue] = [:]
        guard enter("a", "{sv}") else { return found }
        while enter("e", "sv") {
            if let name = text(), wanted.contains(name) { found[name] = variant() }
            leave()
        }
        leave()
        return found
    }

    private func value(_ contents: String) -> BusValue {
        guard contents.utf8.count == 1, let type = contents.utf8.first.map({ CChar(bitPattern: $0) }) else {
            return compound(contents)
        }
        if BusMessage.textual.contains(type) { return string(type).map(BusValue.text) ?? .other }
        guard let number = number(type) else { return .other }
        return type == BusMessage.type("b") ? .flag(number != 0) : .integer(number)
    }

    /// Bytes; and of a structure its first number, as of a job its id.
    private func compound(_ contents: String) -> BusValue {
        switch contents {
        case "ay": return bytes().map(BusValue.bytes) ?? .other
        case "(uo)":
            guard enter("r", "uo") else { return .other }
            defer { leave() }
            return integer().map(BusValue.integer) ?? .other
        default: return .other
        }
    }

    // MARK: - Parts

    private static let textual: [CChar] = [type("s"), type("o"), type("g")]

    private static func type(_ letter: Unicode.Scalar) -> CChar { CChar(truncatingIfNeeded: letter.value) }

    private func peek() -> (type: CChar, contents: String?)? {
        var type: CChar = 0
        var contents: UnsafePointer<CChar>?
        guard unsafe sd_bus_message_peek_type(message, &type, &contents) > 0 else { return nil }
        return (type, unsafe contents.map { unsafe String(cString: $0) })
    }

    private func string(_ type: CChar) -> String? {
        var pointer: UnsafePointer<CChar>?
        guard unsafe sd_bus_message_read_basic(message, type, &pointer) > 0, let pointer = unsafe pointer
        else {
            return nil
        }
        return unsafe String(cString: pointer)
    }

    private func number(_ type: CChar) -> Int64? {
        switch UInt8(bitPattern: type) {
        case UInt8(ascii: "y"): return basic(type, UInt8.self)
        case UInt8(ascii: "b"), UInt8(ascii: "i"): return basic(type, Int32.self)
        case UInt8(ascii: "n"): return basic(type, Int16.self)
        case UInt8(ascii: "q"): return basic(type, UInt16.self)
        case UInt8(ascii: "u"): return basic(type, UInt32.self)
        case UInt8(ascii: "x"): return basic(type, Int64.self)
        case UInt8(ascii: "t"): return basic(type, UInt64.self)
        default: return nil
        }
    }

    private func basic<T: FixedWidthInteger & BitwiseCopyable>(_ type: CChar, _ width: T.Type) -> Int64? {
        var value: T = 0
        guard unsafe sd_bus_message_read_basic(message, type, &value) > 0 else { return nil }
        return Int64(clamping: value)
    }

    private func bytes() -> [UInt8]? {
        var pointer: UnsafeRawPointer?
        var count = 0
        let result = unsafe sd_bus_message_read_array(message, BusMessage.type("y"), &pointer, &count)
        guard result >= 0 else { return nil }
        guard let pointer = unsafe pointer, count > 0 else { return [] }
        return unsafe Array(UnsafeRawBufferPointer(start: pointer, count: count))
    }
}
