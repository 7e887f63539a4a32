// `holdfast history`: a line per value, with what it is now, its least and most, and how it moved.
import Basics
public import Wire

public enum HistoryTable {
    /// Characters of a sparkline where the width is free, and the fewest.
    static let usualColumns = 60
    static let fewestColumns = 10

    /// - Parameter width: of the terminal; `nil`: as wide as it takes.
    public static func lines(of document: HistoryDocument, width: Int?, palette: Palette) -> [String] {
        guard !document.series.isEmpty else {
            return ["\(document.subject): no numbers yet".printable]
        }
        let rows = document.series.map(Row.init)
        let head = Row(name: "VALUE", now: "NOW", least: "LEAST", most: "MOST")
        let widths = [\Row.name, \.now, \.least, \.most].map { column in
            ([head] + rows).map { $0[keyPath: column].count }.max() ?? 0
        }
        let taken = widths.reduce(0) { $0 + $1 + 2 }
        let columns = max(fewestColumns, width.map { min($0 - taken, 2 * usualColumns) } ?? usualColumns)
        let title = "LAST \(ValueText.seconds(document.span.inSeconds))"
        let body = zip(rows, document.series).map { row, series in
            row.text(widths) + Sparkline.text(grid(series, over: document.span, columns: columns))
        }
        return [palette.heading(head.text(widths) + title)] + body.map(\.trimmedEnd)
    }

    /// The most of each of `columns` equal parts of the span; `nil`: no reading in it.
    static func grid(_ series: HistoryDocument.Series, over span: Duration, columns: Int) -> [Double?] {
        var grid = [Double?](repeating: nil, count: columns)
        let whole = max(span.inSeconds, 1e-3)
        func column(_ age: Duration) -> Int {
            Int(((1 - min(max(age.inSeconds / whole, 0), 1)) * Double(columns)).rounded(.down))
        }
        for (index, point) in series.points.enumerated() {
            guard let value = point.value else { continue }
            let next = index + 1 < series.points.count ? column(series.points[index + 1].age) : columns
            let first = min(column(point.age), columns - 1)
            for column in first..<max(first + 1, min(next, columns)) {
                grid[column] = max(grid[column] ?? value, value)
            }
        }
        return grid
    }

    private struct Row {
        var name: String
        var now: String
        var least: String
        var most: String

        init(name: String, now: String, least: String, most: String) {
            self.name = name
            self.now = now
            self.least = least
            self.most = most
        }

        init(_ series: HistoryDocument.Series) {
            func text(_ value: Double?) -> String {
                value.map { ValueText.figure(NamedValue(series.name, .number($0))) } ?? "-"
            }
            let values = series.points.compactMap(\.value)
            self.init(
                name: ValueText.name(NamedValue(series.name, .number(0))).printable,
                now: text(series.points.last?.value), least: text(values.min()), most: text(values.max()))
        }

        func text(_ widths: [Int]) -> String {
            let cells = zip([name, now, least, most], widths).map { $0.fitted(to: $1) }
            return cells.joined(separator: "  ") + "  "
        }
    }
}
