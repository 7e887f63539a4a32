// ITCH 5.0 messages: what routes them, and what the encoder writes.
import Basics
import Testing

@testable import FeedProtocols

@Suite struct ITCH50Tests {
    private func written(_ body: ITCH50Body, locate: UInt16 = 7, at time: UInt64 = 0x0102_0304_0506)
        -> [UInt8]
    {
        var writer = ByteWriter()
        body.write(ITCH50Stamp(locate: locate, trackingNumber: 2, timestamp: time), into: &writer)
        return writer.bytes
    }

    private let bodies: [ITCH50Body] = [
        .systemEvent(code: UInt8(ascii: "O")),
        .stockDirectory(symbol: ITCHSymbol("AAPL")),
        .addOrder(reference: 9, side: .buy, shares: 100, symbol: ITCHSymbol("AAPL"), price: 10_000),
        .orderExecuted(reference: 9, shares: 10, match: 3),
        .orderCancel(reference: 9, shares: 10),
        .orderDelete(reference: 9),
        .orderReplace(original: 9, new: 10, shares: 5, price: 20_000),
        .trade(reference: 9, side: .sell, shares: 1, symbol: ITCHSymbol("AAPL"), price: 1, match: 2),
    ]

    @Test func `every written message has its type's length on the wire`() throws {
        for body in bodies {
            let bytes = written(body)
            #expect(bytes.count == ITCH50Message.length(ofType: body.type))
            let message = try ITCH50Message(bytes[...])
            #expect(message.type == body.type)
            #expect(message.locate == 7)
            #expect(message.trackingNumber == 2)
            #expect(message.timestamp == 0x0102_0304_0506)
        }
    }

    @Test func `an added order is laid out as published`() {
        let bytes = written(bodies[2])
        #expect(
            bytes
                == hex(
                    "41 0007 0002 010203040506 0000000000000009 42 00000064 4141504C20202020 00002710"))
    }

    @Test func `a directory message binds its locate to a symbol`() throws {
        let message = try ITCH50Message(written(bodies[1])[...])
        #expect(message.directorySymbol == ITCHSymbol("AAPL"))
        #expect(message.directorySymbol?.description == "AAPL")
        #expect(message.orderReference == nil)
        #expect(try ITCH50Message(written(bodies[2])[...]).directorySymbol == nil)
    }

    @Test func `a system event has its code, and orders their reference`() throws {
        #expect(try ITCH50Message(written(bodies[0])[...]).systemEvent == UInt8(ascii: "O"))
        for body in bodies[2...] {
            #expect(try ITCH50Message(written(body)[...]).orderReference == 9)
        }
    }

    @Test func `a message shorter than its type is refused, a longer one passes`() throws {
        for body in bodies {
            let bytes = written(body)
            for length in 0..<bytes.count {
                #expect(throws: MalformedInput.self) { try ITCH50Message(bytes.prefix(length)) }
            }
            _ = try ITCH50Message((bytes + [0])[...])
        }
    }

    @Test func `an unknown type passes with the common header`() throws {
        let bytes = hex("7A 0003 0000 000000000001")
        #expect(try ITCH50Message(bytes[...]).locate == 3)
        #expect(throws: MalformedInput.self) { try ITCH50Message(bytes.dropLast()) }
    }

    @Test func `a symbol is cut and padded to eight bytes`() {
        #expect(ITCHSymbol("TOOLONGNAME").description == "TOOLONGN")
        #expect(ITCHSymbol("").description == "")
    }

    @Test(.enabled(if: Recordings.arePresent))
    func `the recorded day has the counted messages at their lengths`() throws {
        var reader = BinaryFILEReader()
        reader.feed(try Recordings.bytes("itch/12302019_SNIPPET.NASDAQ_ITCH50"))
        var counts: [Character: Int] = [:]
        while let bytes = reader.next() {
            let message = try ITCH50Message(bytes)
            #expect(ITCH50Message.length(ofType: message.type) == bytes.count)
            counts[Character(Unicode.Scalar(message.type)), default: 0] += 1
        }
        try reader.finish()
        #expect(
            counts == [
                "A": 367, "U": 225, "F": 193, "D": 167, "E": 28, "X": 6, "I": 4, "P": 4, "Q": 4, "S": 1,
                "C": 1,
            ])
    }

    @Test func `a message that names its stock says which one`() throws {
        for body in [bodies[1], bodies[2], bodies[7]] {
            #expect(try ITCH50Message(written(body)[...]).symbol == ITCHSymbol("AAPL"))
        }
        for body in [bodies[0], bodies[3], bodies[4], bodies[5], bodies[6]] {
            #expect(try ITCH50Message(written(body)[...]).symbol == nil)
        }
    }

    @Test(.enabled(if: Recordings.arePresent))
    func `in the recorded day a locate stands for one stock in all kinds of message that name it`() throws {
        var reader = BinaryFILEReader()
        reader.feed(try Recordings.bytes("itch/12302019_SNIPPET.NASDAQ_ITCH50"))
        var symbols: [UInt16: ITCHSymbol] = [:]
        var (kinds, repeated) = (Set<UInt8>(), 0)
        while let bytes = reader.next() {
            let message = try ITCH50Message(bytes)
            guard let symbol = message.symbol else { continue }
            kinds.insert(message.type)
            #expect(symbol.description.allSatisfy { $0.isASCII && ($0.isUppercase || "+-*=.".contains($0)) })
            repeated += symbols[message.locate] == nil ? 0 : 1
            #expect(symbols[message.locate, default: symbol] == symbol)
            symbols[message.locate] = symbol
        }
        #expect(kinds == Set("AFIPQ".utf8) && repeated > 100, "\(kinds), \(repeated)")
    }

    @Test func `a directory is what a file's messages name last, whatever pieces it comes in`() throws {
        let units = [
            written(bodies[1], locate: 2), written(bodies[2], locate: 2),
            written(.stockDirectory(symbol: ITCHSymbol("B")), locate: 1),
            written(.stockDirectory(symbol: ITCHSymbol("C")), locate: 2),
            written(.stockDirectory(symbol: ITCHSymbol("")), locate: 3),
        ]
        let file = ITCH50Directory.file(of: units)
        for size in [1, 7, file.count] {
            var directory = ITCH50Directory()
            for start in stride(from: 0, to: file.count, by: size) {
                try directory.feed(file[start..<min(start + size, file.count)])
            }
            #expect(try directory.units(isWhole: true) == [units[2], units[3]])
        }
    }

    @Test func `a file that is none, or ends too early, says where`() throws {
        var directory = ITCH50Directory()
        #expect(throws: MalformedInput.self) { try directory.feed([0, 3, 1, 2, 3]) }
        var short = ITCH50Directory()
        try short.feed(ITCH50Directory.file(of: [written(bodies[1])]).dropLast())
        #expect(throws: MalformedInput(.truncated, offset: 0, wanted: 41, found: 40)) {
            try short.units(isWhole: true)
        }
        #expect(try short.units(isWhole: false) == [])
    }
}
