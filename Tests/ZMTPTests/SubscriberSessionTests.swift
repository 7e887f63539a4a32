// The subscriber's side of a connection, in dialogue with the publisher's, in the clear and by CURVE.
import Testing
import Wire

@testable import ZMTP

@Suite struct SubscriberSessionTests {
    /// Both ends of one connection, and the bytes between them.
    private struct Line {
        private enum Bytes {
            case toPublisher([UInt8])
            case toSubscriber([UInt8])
        }

        var publisher: ServerSession
        var subscriber: SubscriberSession
        var heard: [ServerSession.Event] = []
        var got: [SubscriberSession.Item] = []
        private var buffer: [UInt8] = []
        private var place = 0
        private var underWay: [Bytes] = []

        init(_ publisher: ServerSecurity, _ subscriber: SubscriberSecurity) {
            self.publisher = ServerSession(.publisher, publisher)
            self.subscriber = SubscriberSession(subscriber)
        }

        /// Both greet, and answer each other until nobody has anything to say.
        mutating func meet() throws {
            underWay = [.toSubscriber(publisher.greeting), .toPublisher(subscriber.greeting)]
            try deliver()
        }

        mutating func toPublisher(_ bytes: [UInt8]) throws {
            underWay.append(.toPublisher(bytes))
            try deliver()
        }

        mutating func toSubscriber(_ bytes: [UInt8]) throws {
            underWay.append(.toSubscriber(bytes))
            try deliver()
        }

        private mutating func deliver() throws {
            while !underWay.isEmpty {
                switch underWay.removeFirst() {
                case .toPublisher(let bytes): try deliverToPublisher(bytes)
                case .toSubscriber(let bytes): try deliverToSubscriber(bytes)
                }
            }
        }

        private mutating func deliverToPublisher(_ bytes: [UInt8]) throws {
            var events: [ServerSession.Event] = []
            try publisher.receive(bytes[...]) { events.append($0) }
            while publisher.isWaiting { try publisher.shakeHands { events.append($0) } }
            heard += events
            for event in events {
                switch event {
                case .send(let bytes): underWay.append(.toSubscriber(bytes))
                case .pong(let context):
                    var bytes: [UInt8] = []
                    publisher.encode(pong: context, into: &bytes)
                    underWay.append(.toSubscriber(bytes))
                case .judge: underWay.append(.toSubscriber(publisher.admit()))
                case .opened, .subscribe, .cancel, .strange: break
                }
            }
        }

        private mutating func deliverToSubscriber(_ bytes: [UInt8]) throws {
            buffer += bytes
            while let item = try subscriber.next(in: buffer, at: &place, to: buffer.count) {
                got.append(item)
                if case .send(let bytes) = item { underWay.append(.toPublisher(bytes)) }
            }
        }
    }

    private static func keys(_ seed: UInt8) throws -> KeyPair {
        let secret = Secret([UInt8](repeating: seed, count: 32))
        return KeyPair(
            publicKey: try #require(PublicKey(bytes: secret.publicKey)),
            secretKey: try #require(SecretKey(bytes: secret.bytes)))
    }

    private static func lines() throws -> [Line] {
        let (ours, theirs) = (try keys(7), try keys(9))
        return [
            Line(.plain, .plain),
            Line(
                .curve(ours, entropy: Array(1...UInt8(CurveServer.entropyCount))),
                .curve(
                    theirs, server: ours.publicKey,
                    entropy: Array(1...UInt8(CurveClient.entropyCount)))),
        ]
    }

    @Test func `both come to be open, and what one sends the other has`() throws {
        for line in try Self.lines() {
            var line = line
            try line.meet()
            #expect(line.publisher.isOpen && line.subscriber.isOpen)
            line.heard = []
            line.got = []
            try line.toPublisher(line.subscriber.subscribe([65]))
            try line.toPublisher(line.subscriber.cancel([65]))
            #expect(line.heard == [.subscribe([65]), .cancel([65])])
            var bytes: [UInt8] = []
            for message in [[1, 2], [], [UInt8](repeating: 3, count: 400)] {
                line.publisher.encode(message, into: &bytes)
            }
            try line.toSubscriber(bytes)
            let long = ArraySlice([UInt8](repeating: 3, count: 400))
            #expect(line.got == [.message([1, 2]), .message([]), .message(long)])
        }
    }

    @Test func `messages that came together are handed over with what they lie in, and come back`() throws {
        for line in try Self.lines() {
            var line = line
            try line.meet()
            var messages = MessageBatch()
            for round: UInt8 in 1...2 {
                var bytes: [UInt8] = []
                for message in [[round, 2], [], [3]] { line.publisher.encode(message, into: &bytes) }
                var place = 0
                let end = bytes.count
                #expect(try line.subscriber.next(&messages, in: bytes, at: &place, to: end) == nil)
                #expect(place == end && !messages.isEmpty)
                let buffer = bytes
                var frames = messages.take(from: &bytes)
                #expect(messages.isEmpty)
                var taken: [[UInt8]] = []
                while let place = frames.next() { taken.append(Array(frames.bytes[place])) }
                #expect(taken == [[round, 2], [], [3]])
                messages.giveBack(frames, to: &bytes)
                #expect(bytes == buffer && messages.isEmpty)
            }
        }
    }

    @Test func `a ping is answered, and the answer is nothing that concerns anybody`() throws {
        for line in try Self.lines() {
            var line = line
            try line.meet()
            line.got = []
            try line.toPublisher(line.subscriber.ping())
            #expect(line.got == [.nothing])
        }
    }

    @Test func `the publisher's ping is answered, and what is sent behind the answer is taken, in boxes too`()
        throws
    {
        for line in try Self.lines() {
            var line = line
            try line.meet()
            line.heard = []
            for context: UInt8 in 1...2 {
                var bytes: [UInt8] = []
                let ping = ZMTPCommand.encode("PING", [0, 0, context])
                line.publisher.secrecy.append(ping[...], .command, to: &bytes)
                try line.toSubscriber(bytes)
                try line.toPublisher(line.subscriber.subscribe([context]))
                try line.toPublisher(line.subscriber.ping())
            }
            #expect(
                line.heard.filter { if case .pong = $0 { false } else { true } } == [
                    .subscribe([1]), .subscribe([2]),
                ])
            #expect(line.publisher.isOpen && line.subscriber.isOpen)
        }
    }

    @Test func `behind a box that was changed on its way nothing opens`() throws {
        var line = try Self.lines()[1]
        try line.meet()
        var boxes: [[UInt8]] = []
        for message: UInt8 in 1...2 {
            var bytes: [UInt8] = []
            line.publisher.encode([message], into: &bytes)
            boxes.append(bytes)
        }
        boxes[0][boxes[0].count - 1] ^= 1
        for bytes in boxes {
            var place = 0
            #expect(throws: ZMTPError.self) {
                try line.subscriber.next(in: bytes, at: &place, to: bytes.count)
            }
        }
    }

    @Test func `what is sent between a ping and its answer comes before it, in boxes too`() throws {
        for line in try Self.lines() {
            var line = line
            try line.meet()
            line.got = []
            var pings: [[UInt8]] = []
            try line.publisher.receive(line.subscriber.ping()[...]) { event in
                if case .pong(let context) = event { pings.append(context) }
            }
            var bytes: [UInt8] = []
            line.publisher.encode([1], into: &bytes)
            for context in pings { line.publisher.encode(pong: context, into: &bytes) }
            try line.toSubscriber(bytes)
            #expect(line.got == [.message([1]), .nothing])
        }
    }

    @Test func `a publisher of another kind, or with another key, is not taken`() throws {
        let (ours, theirs) = (try Self.keys(7), try Self.keys(9))
        let server = ServerSecurity.curve(ours, entropy: Array(1...UInt8(CurveServer.entropyCount)))
        let entropy = Array(1...UInt8(CurveClient.entropyCount))
        var line = Line(server, .plain)
        #expect(throws: ZMTPError.mechanism("NULL", expected: "CURVE")) { try line.meet() }
        line = Line(.plain, .curve(theirs, server: ours.publicKey, entropy: entropy))
        #expect(throws: ZMTPError.mechanism("CURVE", expected: "NULL")) { try line.meet() }
        line = Line(server, .curve(theirs, server: theirs.publicKey, entropy: entropy))
        #expect(throws: ZMTPError.box("HELLO")) { try line.meet() }
    }

    @Test func `a step of CURVE waits for its turn, and what came behind it waits, too`() throws {
        var line = try Self.lines()[1]
        let greeting = ZMTPGreeting.encode(mechanism: "CURVE", isServer: true)
        #expect(greeting.starts(with: line.publisher.greeting))
        var place = 0
        guard case .send(let hello)? = try line.subscriber.next(in: greeting, at: &place, to: 64) else {
            Issue.record("no HELLO")
            return
        }
        var events: [ServerSession.Event] = []
        let bytes: [UInt8] = line.subscriber.greeting + hello + hello
        try line.publisher.receive(bytes[...]) { events.append($0) }
        #expect(events == [.send(Array(greeting[11...]))])
        #expect(line.publisher.isWaiting && !line.publisher.hasBegun)
        events = []
        try line.publisher.shakeHands { events.append($0) }
        guard case .send(let welcome) = events.first else {
            Issue.record("no WELCOME")
            return
        }
        #expect(events.count == 1 && welcome.count == 170 && line.publisher.hasBegun)
        // The second HELLO is the next step, and the end.
        #expect(line.publisher.isWaiting)
        #expect(throws: ZMTPError.command("HELLO")) { try line.publisher.shakeHands { events.append($0) } }
    }

    @Test func `who it is is told before it is let in, and nothing before that is taken`() throws {
        var line = try Self.lines()[1]
        try line.meet()
        #expect(line.heard.contains(.judge(try Self.keys(9).publicKey)))
        var other = try Self.lines()[1]
        #expect(throws: ZMTPError.command("message")) {
            try other.toPublisher(other.subscriber.greeting + ZMTPFrame.encode([1, 65]))
        }
    }

    @Test func `a frame is read when it is whole, and how much it needs is known before`() throws {
        var line = try Self.lines()[0]
        try line.meet()
        let frame = ZMTPFrame.encode([UInt8](repeating: 3, count: 1000))
        var place = 0
        for end in 0..<frame.count {
            #expect(try line.subscriber.next(in: frame, at: &place, to: end) == nil)
        }
        #expect(line.subscriber.need(in: frame, at: 0, to: 9) == 1009)
        #expect(line.subscriber.need(in: frame, at: 0, to: 8) == 0)
        #expect(place == 0)
    }

    @Test func `what is no publisher is left`() throws {
        func refusal(_ bytes: [UInt8]) -> ZMTPError? {
            var session = SubscriberSession(.plain, limit: 500)
            var place = 0
            do {
                while try session.next(in: bytes, at: &place, to: bytes.count) != nil {}
                return nil
            } catch {
                return error
            }
        }
        let greeting = ZMTPGreeting.encode(mechanism: "NULL", isServer: false)
        func command(_ name: String, _ rest: [UInt8]) -> [UInt8] {
            ZMTPFrame.encode(ZMTPCommand.encode(name, rest), .command)
        }
        let ready = command("READY", ZMTPCommand.encode([("Socket-Type", "XPUB")]))
        #expect(refusal(Array("SSH-2.0".utf8)) == .notZMTP)
        let curve = ZMTPGreeting.encode(mechanism: "CURVE", isServer: true)
        #expect(refusal(curve) == .mechanism("CURVE", expected: "NULL"))
        #expect(refusal(greeting + ready) == nil)
        #expect(
            refusal(greeting + command("READY", ZMTPCommand.encode([("Socket-Type", "REP")])))
                == .socketType("REP"))
        #expect(refusal(greeting + command("ERROR", [3] + Array("400".utf8))) == .refused("400"))
        #expect(refusal(greeting + ZMTPFrame.encode([7])) == .command("message"))
        #expect(refusal(greeting + command("DANCE", [])) == .command("DANCE"))
        let large = ZMTPFrame.encode([UInt8](repeating: 1, count: 501))
        #expect(refusal(greeting + ready + large) == .tooLong(bytes: 501, limit: 500))
        #expect(refusal(greeting + ready + command("PING", [0])) == .malformed("PING"))
        #expect(refusal(greeting + ready + command("DANCE", [])) == nil)
    }
}
