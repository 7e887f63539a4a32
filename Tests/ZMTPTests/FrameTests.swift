// Greetings, frames and metadata, as they stand in RFCs 23 and 37.
import Testing

@testable import ZMTP

@Suite struct FrameTests {
    @Test func `a short frame has a length of one byte, a longer one of eight`() throws {
        #expect(ZMTPFrame.encode([7, 8], .more) == [1, 2, 7, 8])
        let long = ZMTPFrame.encode([UInt8](repeating: 5, count: 256))
        #expect(long.prefix(9) == [2, 0, 0, 0, 0, 0, 0, 1, 0])
        let frame = try #require(try ZMTPFrame.next(in: long, from: 0, to: long.count, limit: 300))
        #expect(frame.body == 9..<265 && frame.flags == [])
    }

    @Test func `a frame that has not come wholly is waited for`() throws {
        let bytes = ZMTPFrame.encode([UInt8](repeating: 5, count: 300), .command)
        for end in 0..<bytes.count {
            #expect(try ZMTPFrame.next(in: bytes, from: 0, to: end, limit: 300) == nil)
        }
    }

    @Test func `flags that no frame has and lengths beyond the limit end it`() {
        #expect(throws: ZMTPError.flags(8)) { try ZMTPFrame.next(in: [8, 0], from: 0, to: 2, limit: 9) }
        #expect(throws: ZMTPError.tooLong(bytes: 10, limit: 9)) {
            try ZMTPFrame.next(in: [0, 10], from: 0, to: 2, limit: 9)
        }
        let most = [UInt8](repeating: 0xff, count: 8)
        #expect(throws: ZMTPError.tooLong(bytes: .max, limit: 9)) {
            try ZMTPFrame.next(in: [2] + most, from: 0, to: 9, limit: 9)
        }
    }

    @Test func `a greeting is judged by its first wrong byte`() throws {
        let good = ZMTPGreeting.encode(mechanism: "NULL", isServer: false)
        #expect(good.count == 64)
        for end in 0..<64 {
            #expect(try ZMTPGreeting.check(good[..<end], mechanism: "NULL", isServer: true) == nil)
        }
        #expect(try ZMTPGreeting.check(good[...], mechanism: "NULL", isServer: true) == 1)
        #expect(throws: ZMTPError.notZMTP) {
            try ZMTPGreeting.check([UInt8(ascii: "G")], mechanism: "NULL", isServer: true)
        }
        var old = good
        old[10] = 1
        #expect(throws: ZMTPError.version(2)) {
            try ZMTPGreeting.check(old[..<11], mechanism: "NULL", isServer: true)
        }
        #expect(throws: ZMTPError.mechanism("NULL", expected: "CURVE")) {
            try ZMTPGreeting.check(good[...], mechanism: "CURVE", isServer: true)
        }
        let server = ZMTPGreeting.encode(mechanism: "CURVE", isServer: true)
        #expect(throws: ZMTPError.role) {
            try ZMTPGreeting.check(server[...], mechanism: "CURVE", isServer: true)
        }
        // As libzmq's servers do.
        for isServer in [false, true] {
            let greeting = ZMTPGreeting.encode(mechanism: "CURVE", isServer: isServer)
            #expect(try ZMTPGreeting.check(greeting[...], mechanism: "CURVE", isServer: false) == 1)
        }
    }

    @Test func `metadata is read by names without case, and has to be whole`() throws {
        let bytes = ZMTPCommand.encode([("Socket-Type", "SUB"), ("Identity", "")])
        #expect(try ZMTPCommand.property("socket-type", in: bytes[...]) == "SUB")
        #expect(try ZMTPCommand.property("Resource", in: bytes[...]) == nil)
        for end in 1..<bytes.count where end != 19 {
            #expect(throws: ZMTPError.malformed("metadata")) {
                try ZMTPCommand.property("Identity", in: bytes[..<end])
            }
        }
    }
}
