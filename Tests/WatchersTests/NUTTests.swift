// NUT's two protocols as dialogues: what upsd and drivers say, and what they should not.
import Basics
import Testing

@testable import Watchers

private func line(_ text: String) -> [UInt8] { Array(text.utf8) }

struct NUTLineTests {
    @Test(arguments: [
        ("VAR su ups.status \"OL CHRG\"", ["VAR", "su", "ups.status", "OL CHRG"]),
        ("A \"\" B", ["A", "", "B"]), ("A \"say \\\"hi\\\" \\\\\"", ["A", "say \"hi\" \\"]), ("", []),
        ("  A  ", ["A"]),
    ])
    func `words are apart by spaces outside quotes`(text: String, words: [String]) {
        #expect(NUTLine.words(line(text)) == words)
    }

    @Test(arguments: ["A \"open", "A \\", "A \u{1}", String(repeating: "a ", count: 40)])
    func `what is no line is none`(text: String) {
        #expect(NUTLine.words(line(text)) == nil)
    }

    @Test func `a word goes there and back`() {
        for word in ["plain", "two words", "a\"b", "a\\b", ""] {
            let sent = try! #require(NUTLine.quoted(word))
            #expect(NUTLine.words(line(sent)) == [word])
        }
        #expect(NUTLine.quoted("a\nLIST UPS") == nil)
    }

    @Test func `a stream is cut into lines however it comes`() {
        var lines = NUTLines()
        #expect(lines.received(line("OK\r\nVA")) == [line("OK")])
        #expect(lines.received(line("R x\n\n")) == [line("VAR x"), []])
    }

    @Test func `a line without an end is dropped at its bound, and the next one is read`() {
        var lines = NUTLines()
        #expect(lines.received([UInt8](repeating: 65, count: 100_000)) == [])
        #expect(lines.received(line("\nOK\n")) == [line("OK")])
        #expect(lines.tooLong == 1)
    }
}

struct UPSTurnsTests {
    @Test func `a server is asked at each poll, however rarely that is, and not while it owes an answer`() {
        var turns = UPSTurns(pollEvery: .seconds(10), lists: false)
        #expect(turns.opened(at: at(0)) == .poll)
        #expect(turns.deadline == at(2000))
        turns.answered()
        #expect(turns.deadline == at(10_000))
        #expect(turns.tick(at: at(2000)) == .nothing)
        #expect(turns.tick(at: at(10_000)) == .poll)
        #expect(turns.tick(at: at(11_000)) == .nothing)
        #expect(turns.tick(at: at(12_000)) == .silent)
    }

    @Test func `which UPSes there are is asked first, then now and then, and when one is missed`() {
        var turns = UPSTurns(pollEvery: .seconds(10), lists: true)
        #expect(turns.opened(at: at(0)) == .list)
        #expect(turns.listed(at: at(10)) == .poll)
        turns.answered()
        for second in [10, 20, 30, 40, 50] {
            #expect(turns.tick(at: at(Int64(second) * 1000)) == .poll)
            turns.answered()
        }
        #expect(turns.tick(at: at(60_000)) == .list)
        #expect(turns.listed(at: at(60_010)) == .poll)
        turns.missed()
        turns.answered()
        #expect(turns.tick(at: at(70_000)) == .list)
    }
}

struct NUTConversationTests {
    @Test func `more UPSes than one server may have are left out`() {
        var upsd = NUTConversation(user: nil, password: nil)
        _ = upsd.list()
        _ = upsd.received(line("BEGIN LIST UPS"))
        for number in 0...NUTConversation.mostUPSes {
            #expect(upsd.received(line("UPS ups\(number) x")) == [])
        }
        guard case .served(let names)? = upsd.received(line("END LIST UPS")).first else {
            Issue.record("no list")
            return
        }
        #expect(names.count == NUTConversation.mostUPSes)
    }

    @Test func `login, list, poll`() {
        var upsd = NUTConversation(user: "monitor", password: "a b")
        #expect(upsd.connected() == ["USERNAME monitor", "PASSWORD \"a b\""])
        #expect(upsd.list() == ["LIST UPS"])
        #expect(upsd.received(line("OK")) == [])
        #expect(upsd.received(line("OK")) == [])
        #expect(upsd.received(line("BEGIN LIST UPS")) == [])
        #expect(upsd.received(line("UPS main \"Rack 1\"")) == [])
        #expect(upsd.received(line("END LIST UPS")) == [.served(["main"])])
        #expect(upsd.poll(["main"]) == ["LIST VAR main"])
        #expect(upsd.received(line("BEGIN LIST VAR main")) == [])
        #expect(upsd.received(line("VAR main ups.status \"OL CHRG\"")) == [])
        #expect(
            upsd.received(line("END LIST VAR main")) == [.variables(ups: "main", ["ups.status": "OL CHRG"])])
        #expect(upsd.isIdle)
    }

    @Test func `errors belong to what was asked`() {
        var upsd = NUTConversation(user: nil, password: nil)
        #expect(upsd.connected() == [])
        #expect(upsd.poll(["a", "b", "c"]).count == 3)
        #expect(upsd.received(line("ERR DATA-STALE")) == [.stale(ups: "a")])
        #expect(upsd.received(line("ERR DRIVER-NOT-CONNECTED")) == [.driverGone(ups: "b")])
        #expect(upsd.received(line("ERR UNKNOWN-UPS")) == [.unknownUPS("c")])
    }

    @Test func `after a refused login nothing else is tried`() {
        var upsd = NUTConversation(user: "monitor", password: "wrong")
        #expect(upsd.connected().count == 2)
        #expect(upsd.received(line("ERR ACCESS-DENIED")) == [.refused("ACCESS-DENIED")])
        #expect(upsd.poll(["main"]) == [])
    }

    @Test(arguments: [
        "", "HTTP/1.1 400 Bad Request", "VAR main ups.status OL", "END LIST VAR main", "BEGIN LIST VAR other",
        "OK", "\u{0}\u{0}", "VAR", "UPS x",
    ])
    func `what was not asked for is ignored and told`(text: String) {
        var upsd = NUTConversation(user: nil, password: nil)
        _ = upsd.connected()
        _ = upsd.poll(["main"])
        let events = upsd.received(line(text))
        #expect(events.count == 1)
        if case .malformed = events.first { return }
        Issue.record("taken for \(events)")
    }
}

@Suite struct DriverSearchTests {
    @Test func `a driver's socket is looked for at once, and again after a while`() {
        var search = DriverSearch()
        let now = Instant.zero + .seconds(100)
        #expect(search.isDue(at: now) == true)
        #expect(search.isDue(at: now + .milliseconds(4999)) == false)
        #expect(search.next == now + .seconds(5))
        #expect(search.isDue(at: now + .seconds(5)) == true)
        search.restart()
        #expect(search.isDue(at: now + .seconds(6)) == true)
    }

    @Test func `a driver's socket is called after the driver that the server names, and the UPS`() {
        var search = DriverSearch()
        let names = ["upsd.pid", "usbhid-ups-second", "dummy-ups-main", "usbhid-ups-main"]
        #expect(search.named("usbhid-ups") == true)
        #expect(search.socket(of: "main", among: names, served: ["main"]) == "usbhid-ups-main")
        #expect(search.socket(of: "third", among: names, served: ["main"]) == nil)
    }

    @Test func `another driver is looked for at once, and the same one or none is no news`() {
        var search = DriverSearch()
        let now = Instant.zero + .seconds(100)
        let names = ["dummy-ups-main", "usbhid-ups-main"]
        #expect(search.named("dummy-ups") == true)
        #expect(search.isDue(at: now) == true)
        #expect(search.named("dummy-ups") == false)
        #expect(search.named(nil) == false)
        #expect(search.isDue(at: now) == false)
        #expect(search.named("usbhid-ups") == true)
        #expect(search.isDue(at: now) == true)
        #expect(search.socket(of: "main", among: names, served: ["main"]) == "usbhid-ups-main")
    }

    @Test(arguments: [nil, "usbhid-ups"] as [String?])
    func `a UPS is not judged by the driver of another one whose name ends in its own`(driver: String?) {
        var search = DriverSearch()
        _ = search.named(driver)
        let served = ["main", "backup-main"]
        let both = ["usbhid-ups-backup-main", "usbhid-ups-main"]
        #expect(search.socket(of: "main", among: both, served: served) == "usbhid-ups-main")
        #expect(search.socket(of: "main", among: ["usbhid-ups-backup-main"], served: served) == nil)
        #expect(search.socket(of: "backup-main", among: both, served: served) == "usbhid-ups-backup-main")
    }

    @Test func `where no driver is named, a socket that was left does not keep the driver's from its turn`() {
        var search = DriverSearch()
        let names = ["dummy-ups-main", "usbhid-ups-main"]
        #expect(search.socket(of: "main", among: names, served: ["main"]) == "dummy-ups-main")
        #expect(search.socket(of: "main", among: names, served: ["main"]) == "usbhid-ups-main")
        #expect(search.socket(of: "main", among: names, served: ["main"]) == "dummy-ups-main")
    }
}

@Suite struct DriverConversationTests {
    private let now = Instant(nanoseconds: 1_000_000_000)

    @Test func `the dump is one reading, and each change another`() {
        var driver = DriverConversation()
        #expect(driver.connected(at: now) == ["DUMPALL"])
        #expect(driver.received(line("SETINFO ups.status \"OL\""), at: now) == [])
        #expect(driver.received(line("SETINFO input.voltage \"230.1\""), at: now) == [])
        #expect(
            driver.received(line("DUMPDONE"), at: now) == [
                .variables(["ups.status": "OL", "input.voltage": "230.1"])
            ])
        #expect(driver.received(line("SETINFO input.voltage \"229.9\""), at: now) == [])
        #expect(
            driver.received(line("SETINFO ups.status \"OB\""), at: now) == [
                .variables(["ups.status": "OB", "input.voltage": "229.9"])
            ])
        #expect(driver.received(line("DATASTALE"), at: now) == [.stale])
        #expect(
            driver.received(line("DATAOK"), at: now) == [
                .variables(["ups.status": "OB", "input.voltage": "229.9"])
            ])
    }

    @Test func `a quiet driver is asked, and then gone`() {
        var driver = DriverConversation()
        _ = driver.connected(at: now)
        #expect(driver.tick(at: now + .seconds(1)) == .nothing)
        #expect(driver.tick(at: now + .seconds(2)) == .ask("PING"))
        #expect(driver.tick(at: now + .seconds(3)) == .nothing)
        #expect(driver.received(line("PONG"), at: now + .seconds(3)) == [])
        #expect(driver.tick(at: now + .seconds(4)) == .nothing)
        #expect(driver.tick(at: now + .seconds(7)) == .gone)
    }

    @Test func `garbage is told and changes nothing`() {
        var driver = DriverConversation()
        _ = driver.connected(at: now)
        #expect(driver.received(line("SETINFO ups.status"), at: now) == [.malformed("SETINFO ups.status")])
    }
}
