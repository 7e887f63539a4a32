// Sparklines and the table of a subject's history.
import Basics
import Testing
import Wire

@testable import Terminal

@Suite struct HistoryTableTests {
    @Test(
        arguments: [
            ([], ""), ([1, 1, 1], "▁▁▁"), ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"), ([nil, 5, nil, 9], " ▁ █"),
            ([-1e308, 1e308, .infinity], "▁█ "), ([nil, nil], "  "),
        ] as [([Double?], String)])
    func `numbers become blocks`(values: [Double?], text: String) {
        #expect(Sparkline.text(values) == text)
    }

    private func document(_ points: [(Int64, Double?)]) -> HistoryDocument {
        let stamp = Stamp(
            host: "fra-1", incarnation: Incarnation(startedAt: WallTime(nanoseconds: 1)), change: 1,
            at: WallTime(nanoseconds: 1))
        let series = HistoryDocument.Series(
            "rtt_s", points.map { HistoryDocument.Point(age: .seconds($0.0), value: $0.1) })
        return HistoryDocument(
            stamp: stamp, subject: Subject(.path, "isp-a"), span: .seconds(10), series: [series])
    }

    @Test func `a value holds until the next point, and a peak is not lost`() {
        let series = document([(10, 1), (7, 2), (5, nil), (2, 1), (2, 9), (2, 3)]).series[0]
        let grid = HistoryTable.grid(series, over: .seconds(10), columns: 10)
        #expect(grid == [1, 1, 1, 2, 2, nil, nil, nil, 9, 3])
    }

    @Test func `points beyond the span disturb nothing`() {
        let series = document([(99, 1), (-5, 2)]).series[0]
        #expect(HistoryTable.grid(series, over: .zero, columns: 3) == [1, 1, 2])
    }

    @Test func `a line has the value now, its least and most`() {
        let lines = HistoryTable.lines(
            of: document([(10, 0.01), (5, 0.25)]), width: 50, palette: Palette(isColoured: false))
        #expect(lines.count == 2)
        #expect(lines[0].hasPrefix("VALUE  NOW      LEAST   MOST     LAST 10.0s"))
        #expect(lines[1].hasPrefix("rtt    250.0ms  10.0ms  250.0ms  ▁"))
        #expect(lines[1].hasSuffix("█") && lines[1].count <= 50)
    }

    @Test func `a count has no decimals`() {
        var counted = document([(10, 3), (5, 12)])
        counted.series[0].name = "messages"
        let lines = HistoryTable.lines(of: counted, width: 50, palette: Palette(isColoured: false))
        #expect(lines[1].hasPrefix("messages  12   3      12    ▁"))
    }

    @Test func `without numbers it says so`() {
        var empty = document([])
        empty.series = []
        let lines = HistoryTable.lines(of: empty, width: nil, palette: Palette(isColoured: false))
        #expect(lines == ["path/isp-a: no numbers yet"])
    }
}
