// The messages of an open CURVE connection. Each goes in a box of its own, with a number that only grows. As libzmq
// has it, the frame around the box has no flags, and its body begins like a command's with the name MESSAGE; whether
// more follows, and whether it is a command (SUBSCRIBE, PING), stands in the box.
import Basics

/// One side of a connection whose handshake is over, or all but.
public struct CurveSession: Sendable {
    private static let name = Array("\u{7}MESSAGE".utf8)
    /// Name and number.
    private static let header = 16
    /// The bits of the flags in a box; in frames a command's is another one.
    private static let more: UInt8 = 1
    private static let command: UInt8 = 2

    /// What C' and S' share.
    let key: Secret
    private var sending: Nonce
    private var receiving: Nonce

    /// - Parameters:
    ///   - sent: the number of the last command that we sent.
    ///   - heard: and of the last one that came.
    init(_ key: Secret, isServer: Bool, sent: UInt64, heard: UInt64) {
        self.key = key
        sending = Nonce(isServer ? "CurveZMQMESSAGES" : "CurveZMQMESSAGEC", sent)
        receiving = Nonce(isServer ? "CurveZMQMESSAGEC" : "CurveZMQMESSAGES", heard)
    }

    /// The handshake goes on: a command with this number was sent.
    func following(sent number: UInt64) -> CurveSession {
        var session = self
        session.sending.number = number
        return session
    }

    /// One came.
    func following(heard number: UInt64) -> CurveSession {
        var session = self
        session.receiving.number = number
        return session
    }

    /// Appends a message, as a whole frame.
    ///
    /// - Parameter flags: what it is in the clear: `more`, `command`.
    public mutating func seal(
        _ payload: ArraySlice<UInt8>, _ flags: ZMTPFlags = [], into bytes: inout [UInt8]
    ) {
        sending.number += 1
        let count = CurveSession.header + Box.overhead + 1 + payload.count
        ZMTPFrame.appendHeader([], count: count, to: &bytes)
        bytes.append(contentsOf: CurveSession.name)
        var shift: UInt64 = 64
        while shift > 0 {
            shift -= 8
            bytes.append(UInt8(truncatingIfNeeded: sending.number >> shift))
        }
        let box = bytes.count
        bytes.append(contentsOf: repeatElement(0, count: Box.overhead))
        bytes.append(
            (flags.contains(.more) ? CurveSession.more : 0)
                | (flags.contains(.command) ? CurveSession.command : 0))
        bytes.append(copying: payload)
        Box.seal(&bytes, from: box, sending, key)
    }

    /// Opens the message that is the body of a frame: what it is in the clear, and a copy of it. The frame's own flags
    /// say nothing. After an error the connection ends, and nothing else opens.
    public mutating func open(
        _ body: ArraySlice<UInt8>
    ) throws(ZMTPError) -> (flags: ZMTPFlags, payload: ArraySlice<UInt8>) {
        do throws(ZMTPError) {
            return try opened(body)
        } catch {
            receiving.number = .max
            throw error
        }
    }

    private mutating func opened(
        _ body: ArraySlice<UInt8>
    ) throws(ZMTPError) -> (flags: ZMTPFlags, payload: ArraySlice<UInt8>) {
        guard body.starts(with: CurveSession.name) else {
            throw .command(try ZMTPCommand.split(body).name)
        }
        guard body.count > CurveSession.header + Box.overhead else { throw .malformed("MESSAGE") }
        var number: UInt64 = 0
        for byte in body.dropFirst(CurveSession.name.count).prefix(8) { number = number << 8 | UInt64(byte) }
        guard number > receiving.number else { throw .replayed("MESSAGE") }
        receiving.number = number
        guard let text = Box.open(body.dropFirst(CurveSession.header), receiving, key), let inner = text.first
        else { throw .box("MESSAGE") }
        guard inner & ~(CurveSession.more | CurveSession.command) == 0 else { throw .flags(inner) }
        var flags: ZMTPFlags = []
        if inner & CurveSession.more != 0 { flags.insert(.more) }
        if inner & CurveSession.command != 0 { flags.insert(.command) }
        return (flags, text.dropFirst())
    }
}

/// How far a connection is from what nobody else reads: what both sides of one do alike.
enum Secrecy<Handshake: Sendable>: Sendable {
    /// NULL: it is in the clear.
    case none
    /// CURVE's handshake goes on: a client's or a server's.
    case handshake(Handshake)
    case boxes(CurveSession)

    var isNone: Bool {
        switch self {
        case .none: true
        case .handshake, .boxes: false
        }
    }

    /// As the greeting names it.
    var mechanism: String {
        switch self {
        case .none: "NULL"
        case .handshake, .boxes: "CURVE"
        }
    }

    /// Appends a message or a command, as a whole frame.
    ///
    /// - Precondition: no handshake goes on.
    mutating func append(_ body: ArraySlice<UInt8>, _ flags: ZMTPFlags, to bytes: inout [UInt8]) {
        switch self {
        case .none:
            ZMTPFrame.appendHeader(flags, count: body.count, to: &bytes)
            bytes.append(copying: body)
        case .boxes(var session):
            session.seal(body, flags, into: &bytes)
            self = .boxes(session)
        case .handshake: preconditionFailure("sealed before READY")
        }
    }
}
