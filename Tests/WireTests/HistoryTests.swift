// What is remembered of a subject's numbers: change points, gaps, the bound, and what a state brings along.
import Basics
import Testing

@testable import Wire

@Suite struct HistoryTests {
    let path = Subject(.path, "isp-a")

    private func time(_ milliseconds: Int64) -> Instant {
        Instant(nanoseconds: 5_000_000_000_000 + milliseconds * 1_000_000)
    }

    private func sample(_ subject: Subject, _ values: (String, Double)...) -> Sample {
        Sample(subject, values.map { NamedValue($0.0, .number($0.1)) })
    }

    private func points(_ book: HistoryBook, last: Duration = .seconds(60), at now: Int64) -> [String] {
        book.series(of: path, last: last, at: time(now)).flatMap { series in
            series.points.map { point in
                "\(series.name) \(point.age.nanoseconds / 1_000_000) \(point.value.map { "\($0)" } ?? "none")"
            }
        }
    }

    @Test func `a value that stands still is one point, each change another`() {
        var book = HistoryBook()
        for tick: Int64 in 0..<10 {
            book.record(sample(path, ("rtt_s", tick < 5 ? 0.1 : 0.2)), at: time(tick * 100))
        }
        #expect(points(book, at: 900) == ["rtt_s 900 0.1", "rtt_s 400 0.2"])
    }

    @Test func `what is older than is kept is gone, but the value that held then is not`() {
        var book = HistoryBook()
        for second: Int64 in 0...100 {
            book.record(
                sample(path, ("a", second < 3 ? 1 : 2), ("b", Double(second))), at: time(second * 1000))
        }
        let told = points(book, at: 100_000)
        #expect(told.first == "a 60000 2.0")
        #expect(told.filter { $0.hasPrefix("b") }.count == 61)
        #expect(
            points(book, last: .seconds(5), at: 100_000).filter { $0.hasPrefix("b") }.first == "b 5000 95.0")
    }

    @Test func `a pause between readings is a gap and not the last value`() {
        var book = HistoryBook()
        for second: Int64 in 0...3 { book.record(sample(path, ("a", 7)), at: time(second * 1000)) }
        book.record(sample(path, ("a", 7)), at: time(20_000))
        #expect(points(book, at: 20_000) == ["a 20000 7.0", "a 16000 none", "a 0 7.0"])
        #expect(points(book, at: 50_000).last == "a 30000 none")
        #expect(points(book, at: 90_000).isEmpty, "nothing of the last minute")
    }

    @Test func `texts and what is no number are left out`() {
        var book = HistoryBook()
        let values: [NamedValue] = [
            NamedValue("mac", .text("x")), NamedValue("up", .flag(true)), NamedValue("nan", .number(.nan)),
            NamedValue("huge", .number(1e300)), NamedValue("count", .integer(3)),
        ]
        book.record(Sample(path, values), at: time(0))
        #expect(points(book, at: 0) == ["up 0 1.0", "count 0 3.0"])
    }

    @Test func `200 subjects with ten readings a second of everything stay within the bound`() {
        var book = HistoryBook()
        var number = 0.0
        for tick: Int64 in 0..<700 {
            for index in 0..<200 {
                number += 1
                book.record(
                    sample(Subject(.nic, "eth\(index)"), ("a", number), ("b", number / 3), ("c", -number)),
                    at: time(tick * 100))
            }
        }
        #expect(book.bytes <= book.limits.mostBytes)
        #expect(book.bytes >= book.limits.mostBytes / 3, "the bound is there to be used")
        #expect(book.refused == 0)
        let kept = book.series(of: Subject(.nic, "eth7"), last: .seconds(60), at: time(69_900))
        #expect(kept.count == 3 && kept.allSatisfy { $0.points.count > 50 })
    }

    @Test func `one subject alone keeps every reading of a minute`() {
        var book = HistoryBook()
        for tick: Int64 in 0..<2000 { book.record(sample(path, ("a", Double(tick))), at: time(tick * 100)) }
        #expect(points(book, at: 199_900).count == 601)
        #expect(book.bytes < 32 << 10)
    }

    @Test func `a flood of names is refused and counted`() {
        var book = HistoryBook()
        for name in 0..<100 { book.record(sample(path, ("value\(name)", 1)), at: time(0)) }
        #expect(points(book, at: 0).count == HistoryBook.mostValues)
        #expect(book.refused == 68)
        for index in 0..<20_000 { book.record(sample(Subject(.disk, "d\(index)"), ("a", 1)), at: time(0)) }
        #expect(book.bytes <= book.limits.mostBytes)
        book.forget(path)
        #expect(points(book, at: 0).isEmpty)
    }

    @Test func `a change for the worse brings the last seconds of what moved along`() throws {
        var dialogue = BookDialogue()
        _ = dialogue.report(path, .ok, "up")
        for tick in 0..<100 {
            dialogue.now = dialogue.now + .milliseconds(100)
            let rtt = tick < 90 ? 0.01 : 0.5
            dialogue.book.record(
                sample(path, ("rtt_s", rtt), ("targets_up", 3)), at: dialogue.now)
        }
        #expect(dialogue.report(path, .critical, "slow") == ["2 path/isp-a critical was ok"])
        let state = try #require(dialogue.book.state(of: path))
        let before = try #require(state.before)
        #expect(before.series.map(\.name) == ["rtt_s"], "what stood still is in the values")
        #expect(before.series[0].values.count == Before.mostPoints)
        #expect(before.series[0].values.first == 0.01 && before.series[0].values.last == 0.5)
        #expect(try StateMessage(json: state.json) == state)
        #expect(state.json["before"]?.bytes.count ?? 0 < 2048)
        #expect(dialogue.report(path, .ok, "up") == ["3 path/isp-a ok was critical"])
        #expect(dialogue.book.state(of: path)?.before == nil, "nor does a change for the better")
    }

    @Test func `the history of a subject is a document, and of what is not watched none`() throws {
        var dialogue = BookDialogue()
        _ = dialogue.report(path, .ok, "up")
        _ = dialogue.book.sample(sample(path, ("rtt_s", 0.25)), at: dialogue.now, wall: dialogue.wall)
        let document = try #require(
            dialogue.book.history(of: path, last: .seconds(5), at: dialogue.now, wall: dialogue.wall))
        #expect(document.json["values"]?.text == #"{"rtt_s":[[-0.0,0.25]]}"#)
        #expect(try HistoryDocument(json: document.json) == document)
        let other = Subject(.nic, "eth0")
        dialogue.book.record(sample(other, ("a", 1)), at: dialogue.now)
        #expect(
            dialogue.book.history(of: other, last: .seconds(5), at: dialogue.now, wall: dialogue.wall) == nil)
    }

    @Test(arguments: [
        #"{"values":[]}"#, #"{"values":{"a":1}}"#, #"{"values":{"a":[[1,2]]}}"#, #"{"values":{"a":[[-1]]}}"#,
    ])
    func `a history that is none is refused`(text: String) throws {
        let wrong = try JSON(parsing: text.utf8).members ?? []
        let rest = HistoryDocument(stamp: MessageTests.stamp, subject: path, span: .seconds(1), series: [])
            .json
        let members = (rest.members ?? []).filter { $0.key != "values" } + wrong
        #expect(throws: WireError.self) { try HistoryDocument(json: .object(members)) }
    }
}
