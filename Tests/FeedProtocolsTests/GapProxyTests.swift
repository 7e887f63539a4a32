// What a client and a Gap Request Proxy say to each other: published bytes, and dialogues with the client's machine.
import Basics
import FeedProtocols
import Testing

private func message(_ bytes: [UInt8]) throws(MalformedInput) -> GapProxyMessage? {
    var decoder = GapProxyDecoder()
    decoder.feed(bytes)
    return try decoder.next()
}

private let login = GapProxyLogin(session: "0006", user: "MKDA", password: "")

@Suite struct GapProxyMessageTests {
    /// As the exchange published them.
    static let published: [(String, GapProxyMessage)] = [
        ("0800 00 00 00000000", .heartbeat),
        ("1E00 01 00 00000000 16 01 30303036 4D4B4441 2020 20202020202020202020", .login(login)),
        ("0B00 01 00 00000000 03 02 41", .loginAnswered(.accepted)),
        ("1100 01 00 00000000 09 03 01 0E000000 0100", .request(GapRequest(unit: 1, first: 14, count: 1))),
        (
            "1200 01 00 00000000 0A 04 01 0E000000 0100 41",
            .response(GapResponse(GapRequest(unit: 1, first: 14, count: 1), .accepted))
        ),
    ]

    @Test(arguments: published)
    func `messages are read and written as published`(bytes: String, wanted: GapProxyMessage) throws {
        #expect(try message(hex(bytes)) == wanted)
        #expect(wanted.bytes == hex(bytes))
    }

    @Test func `every status of a response has its code`() throws {
        let statuses: [(Character, GapResponse.Status)] = [
            ("A", .accepted), ("O", .outOfRange), ("D", .dayQuota), ("M", .minuteQuota),
            ("S", .secondQuota), ("C", .count), ("I", .invalidUnit), ("U", .unitUnavailable),
            ("z", .other(0x7A)),
        ]
        for (code, status) in statuses {
            let response = GapProxyMessage.response(
                GapResponse(GapRequest(unit: 3, first: .max, count: 9), status))
            #expect(response.bytes.last == code.asciiValue)
            #expect(try message(response.bytes) == response)
        }
        for (code, status) in [
            ("A", .accepted), ("N", .notAuthorised), ("B", .sessionInUse), ("S", .invalidSession),
            ("z", .other(0x7A)),
        ] as [(Character, GapProxyLoginStatus)] {
            let answer = GapProxyMessage.loginAnswered(status)
            #expect(answer.bytes.last == code.asciiValue)
            #expect(try message(answer.bytes) == answer)
        }
    }

    @Test func `a stream in pieces, blocks of several messages, and types to come are read`() throws {
        let several = hex("1300 03 00 00000000 03 02 41 04 77 0102 04 03 0102".replacing(" ", with: ""))
        var decoder = GapProxyDecoder()
        for byte in GapProxyMessage.heartbeat.bytes + several.prefix(16) { decoder.feed([byte]) }
        #expect(try decoder.next() == .heartbeat)
        #expect(try decoder.next() == nil)
        decoder.feed(several.dropFirst(16))
        #expect(throws: MalformedInput(.undersized, offset: 23, wanted: 9, found: 4)) {
            while try decoder.next() != nil {}
        }
        let known = hex("0F00 02 00 00000000 04 77 0102 03 02 4E")
        decoder = GapProxyDecoder()
        decoder.feed(known)
        #expect(try decoder.next() == .other(0x77))
        #expect(try decoder.next() == .loginAnswered(.notAuthorised))
        #expect(try decoder.next() == nil)
    }

    @Test func `a message that has grown is read as far as it is known`() throws {
        #expect(
            try message(hex("1400 01 00 00000000 0C 04 01 0E000000 0100 4F FFFF"))
                == .response(GapResponse(GapRequest(unit: 1, first: 14, count: 1), .outOfRange)))
    }

    @Test(arguments: [
        ("0700 00 00 00000000", MalformedInput(.undersized, offset: 0, wanted: 8, found: 7)),
        ("0A00 01 00 00000000 02 02", MalformedInput(.undersized, offset: 8, wanted: 3, found: 2)),
        ("0A00 01 00 00000000 01 02", MalformedInput(.undersized, offset: 8, wanted: 2, found: 1)),
        ("0A00 01 00 00000000 03 02", MalformedInput(.truncated, offset: 8, wanted: 3, found: 2)),
        ("0900 01 00 00000000 02", MalformedInput(.inconsistent, offset: 2, wanted: 0, found: 1)),
    ])
    func `what is no block is refused, and so is all that follows`(bytes: String, why: MalformedInput) {
        var decoder = GapProxyDecoder()
        decoder.feed(hex(bytes))
        for _ in 0..<2 {
            #expect(throws: why) { try decoder.next() }
            decoder.feed(GapProxyMessage.heartbeat.bytes)
        }
    }

    @Test(.enabled(if: Recordings.arePresent)) func `the exchange's own capture is read whole`() throws {
        var streams: [UInt16: [UInt8]] = [:]
        let (found, error) = frames(of: try Recordings.bytes("pitch/mcastpitch_grp_useq.pcap"))
        #expect(error == nil)
        for segment in found.map(TCPSegment.init) { streams[segment.port, default: []] += segment.payload }
        #expect(streams.count == 2)
        var told: [UInt16: [GapProxyMessage]] = [:]
        for (port, bytes) in streams {
            var decoder = GapProxyDecoder()
            decoder.feed(bytes)
            while let message = try decoder.next() { told[port, default: []].append(message) }
        }
        let request = GapRequest(unit: 1, first: 14, count: 1)
        #expect(told[40343]?.filter { $0 != .heartbeat } == [.login(login), .request(request)])
        #expect(
            told[10503]?.filter { $0 != .heartbeat }
                == [.loginAnswered(.accepted), .response(GapResponse(request, .accepted))])
        #expect(told.values.allSatisfy { $0.count { $0 == .heartbeat } > 5 })
    }
}

// MARK: - Dialogues

private struct ProxyDialogue {
    var machine: GapProxyMachine
    private var now = Instant(nanoseconds: 1_000_000_000)

    init(deadAfter: Duration = .seconds(5)) {
        machine = GapProxyMachine(GapProxyDialect(login), LoginTimes(deadAfter: deadAfter))
    }

    mutating func start() -> [String] { lines(machine.start()) }
    mutating func opened() -> [String] { lines(machine.opened(at: now)) }
    mutating func closed() -> [String] { lines(machine.closed("reset", at: now)) }
    mutating func hurry() -> [String] { lines(machine.hurry()) }
    mutating func ask() -> GapProxyAsking { machine.ask(at: now) }

    mutating func receive(_ messages: GapProxyMessage...) -> [String] {
        lines(machine.received(messages.flatMap(\.bytes), at: now))
    }

    mutating func respond(_ status: GapResponse.Status) -> [String] {
        receive(.response(GapResponse(GapRequest(unit: 1, first: 5, count: 2), status)))
    }

    mutating func receive(bytes: [UInt8]) -> [String] { lines(machine.received(bytes, at: now)) }

    mutating func pass(_ milliseconds: Int64) -> [String] {
        now = now + .milliseconds(milliseconds)
        guard let deadline = machine.deadline, deadline <= now else { return [] }
        return lines(machine.tick(at: now))
    }

    /// Connects and is let in.
    mutating func open() {
        _ = start()
        _ = opened()
        _ = receive(.loginAnswered(.accepted))
    }

    private func lines(_ actions: [GapProxyMachine.Action]) -> [String] { actions.map(line) }

    private func line(_ action: GapProxyMachine.Action) -> String {
        switch action {
        case .connect: return "connect"
        case .send(let bytes):
            switch try? message(bytes) {
            case .heartbeat: return "send heartbeat"
            case .login(let login): return "login \(login.user) in \(login.session)"
            case .loginAnswered, .request, .response, .other, nil: return "send \(bytes)"
            }
        case .close(let why): return "close: \(why)"
        case .accepted: return "accepted"
        case .news(let response):
            let request = response.request
            return "unit \(request.unit) \(request.first)+\(request.count): \(response.status)"
        }
    }
}

@Suite struct GapProxyMachineTests {
    @Test func `it logs in, and can be asked once it is let in`() {
        var dialogue = ProxyDialogue()
        #expect(dialogue.start() == ["connect"])
        #expect(dialogue.opened() == ["login MKDA in 0006"])
        #expect(dialogue.ask() == .unreachable)
        #expect(dialogue.receive(.heartbeat, .loginAnswered(.accepted)) == ["accepted"])
        #expect(dialogue.machine.isUp && dialogue.machine.logins == 1)
        #expect(dialogue.ask() == .now)
        #expect(dialogue.respond(.accepted) == ["unit 1 5+2: accepted"])
    }

    @Test func `each side says each second that it lives, and who does not is given up`() {
        var dialogue = ProxyDialogue()
        dialogue.open()
        #expect(dialogue.pass(999) == [])
        #expect(dialogue.pass(1) == ["send heartbeat"])
        #expect(dialogue.pass(500) == [])
        #expect(dialogue.ask() == .now)
        #expect(dialogue.pass(999) == [], "what was asked is a sign of life")
        #expect(dialogue.receive(.heartbeat) == [])
        #expect(dialogue.pass(1) == ["send heartbeat"])
        for _ in 0..<4 { #expect(dialogue.pass(1000) == ["send heartbeat"]) }
        _ = dialogue.pass(998)
        #expect(dialogue.machine.isUp)
        #expect(dialogue.pass(1) == ["close: no word for 5000 ms"])
        #expect(dialogue.ask() == .unreachable)
    }

    @Test func `attempts come less and less often, and begin anew after a connection that lasted`() {
        var dialogue = ProxyDialogue()
        _ = dialogue.start()
        var waits: [Duration] = []
        for _ in 0..<8 {
            #expect(dialogue.closed() == ["close: reset"])
            waits.append(dialogue.machine.retryAfter)
            #expect(dialogue.pass(8000) == ["connect"])
        }
        #expect(waits[0] >= .milliseconds(100) && waits[0] <= .milliseconds(150))
        #expect(waits[3] >= .milliseconds(800) && waits[7] >= .seconds(5) && waits[7] <= .milliseconds(7500))
        #expect(dialogue.machine.attempts == 9 && dialogue.machine.retryAfter == .zero)
        _ = dialogue.opened()
        _ = dialogue.receive(.loginAnswered(.accepted))
        for _ in 0..<6 {
            _ = dialogue.receive(.heartbeat)
            _ = dialogue.pass(1000)
        }
        _ = dialogue.closed()
        #expect(dialogue.machine.retryAfter <= .milliseconds(150))
    }

    @Test func `a login that is refused is not tried again and again`() {
        let waits: [(GapProxyLoginStatus, Duration, String)] = [
            (.notAuthorised, .seconds(30), "not authorised"),
            (.invalidSession, .seconds(30), "there is no such session"),
            (.other(0x7A), .seconds(30), "code 122"),
            (.sessionInUse, .seconds(5), "the session is in use"),
        ]
        for (status, wait, words) in waits {
            var dialogue = ProxyDialogue()
            _ = dialogue.start()
            _ = dialogue.opened()
            #expect(dialogue.receive(.loginAnswered(status)) == ["close: login rejected: \(words)"])
            #expect(dialogue.machine.retryAfter >= wait && dialogue.machine.retryAfter <= wait * 1.5)
            #expect(dialogue.hurry() == [], "a link that is back changes nothing")
            #expect(dialogue.closed() == [])
            #expect(dialogue.pass(45_000) == ["connect"])
        }
    }

    @Test func `a login without an answer is given up, and a link that is back hurries`() {
        var dialogue = ProxyDialogue()
        _ = dialogue.start()
        #expect(dialogue.hurry() == [])
        _ = dialogue.opened()
        #expect(dialogue.pass(4999) == [])
        #expect(dialogue.pass(1) == ["close: no answer to the login"])
        #expect(dialogue.hurry() == ["connect"])
    }

    @Test func `a quota that is used up is not asked of until it may be back`() {
        let rests: [(GapResponse.Status, Int64)] = [
            (.secondQuota, 1000), (.minuteQuota, 60_000), (.dayQuota, 600_000),
        ]
        for (status, rest) in rests {
            var dialogue = ProxyDialogue(deadAfter: .seconds(10_000))
            dialogue.open()
            _ = dialogue.ask()
            #expect(dialogue.respond(status) == ["unit 1 5+2: \(status)"])
            #expect(dialogue.machine.isUp, "the connection stays")
            _ = dialogue.pass(rest - 1)
            guard case .notBefore = dialogue.ask() else {
                Issue.record("\(status): it is asked at once")
                continue
            }
            _ = dialogue.pass(1)
            #expect(dialogue.ask() == .now)
        }
    }

    @Test(arguments: [
        GapResponse.Status.outOfRange, .count, .invalidUnit, .unitUnavailable, .other(0x7A),
    ])
    func `other refusals concern one request`(status: GapResponse.Status) {
        var dialogue = ProxyDialogue()
        dialogue.open()
        #expect(dialogue.respond(status) == ["unit 1 5+2: \(status)"])
        #expect(dialogue.ask() == .now)
    }

    @Test func `what has no place ends the connection, and is counted`() {
        let cases: [(GapProxyMessage, String)] = [
            (.loginAnswered(.accepted), "a login's answer"), (.login(login), "a client's message"),
            (.request(GapRequest(unit: 1, first: 1, count: 1)), "a client's message"),
        ]
        for (message, words) in cases {
            var dialogue = ProxyDialogue()
            dialogue.open()
            #expect(dialogue.receive(message, .heartbeat) == ["close: \(words) has no place here"])
            #expect(dialogue.machine.errors == 1 && !dialogue.machine.isUp)
        }
        var early = ProxyDialogue()
        _ = early.start()
        _ = early.opened()
        #expect(early.respond(.accepted) == ["close: a request's answer has no place here"])
        var garbage = ProxyDialogue()
        garbage.open()
        #expect(
            garbage.receive(bytes: [1, 0, 0]) == [
                "close: no gap request proxy: offset 11: 1 bytes, at least 8 are needed"
            ])
        #expect(garbage.receive(.heartbeat) == [])
    }
}
