// The commands of CURVE's handshake as bytes (ZeroMQ RFC 26, "High-level Grammar"): what stands where, and nothing of
// what it means. All integers are in network byte order.
import Basics

/// The first command, a client's: 200 bytes.
struct CurveHello {
    static let name = "HELLO"
    private static let version: [UInt8] = [1, 0]
    /// Makes the answer shorter than the question.
    private static let padding = [UInt8](repeating: 0, count: 72)
    /// What the signature seals.
    static let signed = [UInt8](repeating: 0, count: 64)

    /// C': the client's key for this connection.
    var client: [UInt8]
    var number: UInt64
    /// Box [64 zeros](C'->S).
    var signature: [UInt8]

    init(client: [UInt8], number: UInt64, signature: [UInt8]) {
        self.client = client
        self.number = number
        self.signature = signature
    }

    /// - Parameter rest: what follows the command's name.
    init(_ rest: ArraySlice<UInt8>) throws(ZMTPError) {
        var reader = ByteReader(rest)
        do throws(EndOfBytes) {
            let version = try reader.take(2)
            let padding = try reader.take(CurveHello.padding.count)
            client = Array(try reader.take(Secret.size))
            number = try reader.integer(UInt64.self)
            signature = Array(try reader.take(CurveHello.signed.count + Box.overhead))
            guard reader.isAtEnd, version.elementsEqual(CurveHello.version),
                padding.elementsEqual(CurveHello.padding)
            else { throw EndOfBytes(offset: reader.offset, wanted: 0, left: reader.count) }
        } catch {
            throw .malformed(CurveHello.name)
        }
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 194)
        writer.append(CurveHello.version)
        writer.append(CurveHello.padding)
        writer.append(client)
        writer.bigEndian(number)
        writer.append(signature)
        return ZMTPCommand.encode(CurveHello.name, writer.bytes)
    }
}

/// The server's answer: 168 bytes.
struct CurveWelcome {
    static let name = "WELCOME"

    var nonce: [UInt8]
    /// Box [S' + cookie](S->C').
    var box: [UInt8]

    init(nonce: [UInt8], box: [UInt8]) {
        self.nonce = nonce
        self.box = box
    }

    init(_ rest: ArraySlice<UInt8>) throws(ZMTPError) {
        guard rest.count == 160 else { throw .malformed(CurveWelcome.name) }
        nonce = Array(rest.prefix(16))
        box = Array(rest.dropFirst(16))
    }

    var bytes: [UInt8] { ZMTPCommand.encode(CurveWelcome.name, nonce + box) }
}

/// With which the client says who it is: 257 bytes and its metadata.
struct CurveInitiate {
    static let name = "INITIATE"

    /// Given back as it came.
    var cookieNonce: [UInt8]
    /// Box [C' + s'](K).
    var cookieBox: [UInt8]
    var number: UInt64
    /// Box [C + vouch + metadata](C'->S').
    var box: [UInt8]

    /// - Parameter cookie: 96 bytes.
    init(cookie: ArraySlice<UInt8>, number: UInt64, box: [UInt8]) {
        cookieNonce = Array(cookie.prefix(16))
        cookieBox = Array(cookie.dropFirst(16))
        self.number = number
        self.box = box
    }

    init(_ rest: ArraySlice<UInt8>) throws(ZMTPError) {
        var reader = ByteReader(rest)
        do throws(EndOfBytes) {
            cookieNonce = Array(try reader.take(16))
            cookieBox = Array(try reader.take(2 * Secret.size + Box.overhead))
            number = try reader.integer(UInt64.self)
            box = Array(try reader.take(CurveIdentity.size + Box.overhead) + reader.rest)
        } catch {
            throw .malformed(CurveInitiate.name)
        }
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 120 + box.count)
        writer.append(cookieNonce)
        writer.append(cookieBox)
        writer.bigEndian(number)
        writer.append(box)
        return ZMTPCommand.encode(CurveInitiate.name, writer.bytes)
    }
}

/// What INITIATE's box holds.
struct CurveIdentity {
    /// Without the metadata.
    static let size = 128

    /// C: the client's own key.
    var client: [UInt8]
    var vouchNonce: [UInt8]
    /// Box [C',S](C->S').
    var vouchBox: [UInt8]
    var metadata: ArraySlice<UInt8>

    init(client: [UInt8], vouchNonce: [UInt8], vouchBox: [UInt8], metadata: ArraySlice<UInt8>) {
        self.client = client
        self.vouchNonce = vouchNonce
        self.vouchBox = vouchBox
        self.metadata = metadata
    }

    init(_ text: [UInt8]) throws(ZMTPError) {
        var reader = ByteReader(text)
        do throws(EndOfBytes) {
            client = Array(try reader.take(Secret.size))
            vouchNonce = Array(try reader.take(16))
            vouchBox = Array(try reader.take(2 * Secret.size + Box.overhead))
            metadata = reader.rest
        } catch {
            throw .malformed(CurveInitiate.name)
        }
    }

    var bytes: [UInt8] { client + vouchNonce + vouchBox + metadata }
}

/// The server's last: 30 bytes and its metadata.
struct CurveReady {
    static let name = "READY"

    var number: UInt64
    /// Box [metadata](S'->C').
    var box: [UInt8]

    init(number: UInt64, box: [UInt8]) {
        self.number = number
        self.box = box
    }

    init(_ rest: ArraySlice<UInt8>) throws(ZMTPError) {
        var reader = ByteReader(rest)
        do throws(EndOfBytes) {
            number = try reader.integer(UInt64.self)
            box = Array(try reader.take(Box.overhead) + reader.rest)
        } catch {
            throw .malformed(CurveReady.name)
        }
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 8 + box.count)
        writer.bigEndian(number)
        writer.append(box)
        return ZMTPCommand.encode(CurveReady.name, writer.bytes)
    }
}
