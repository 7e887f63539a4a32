// Columns: as wide as their content, and when the terminal is narrower, the widest ones give way first.
public import Wire

/// A table of text, with one column that may be coloured by the row's status.
public struct Table {
    public struct Row: Hashable, Sendable {
        public var cells: [String]
        /// Colours the cell of the status column.
        public var status: Status

        public init(_ cells: [String], _ status: Status) {
            self.cells = cells
            self.status = status
        }
    }

    /// No column is cut below this many characters.
    private static let narrowest = 8
    private static let gap = "  "

    public var titles: [String]
    /// The index of the column that shows the status.
    public var statusColumn: Int
    public var rows: [Row]

    public init(titles: [String], statusColumn: Int, rows: [Row]) {
        self.titles = titles
        self.statusColumn = statusColumn
        self.rows = rows.map { Row($0.cells.map(\.printable), $0.status) }
    }

    /// The table's lines, titles first.
    /// - Parameter width: of the terminal; `nil`: as wide as it takes.
    public func lines(width: Int?, palette: Palette) -> [String] {
        let widths = columnWidths(within: width)
        let head = line(titles, widths, status: nil, palette)
        return [palette.heading(head)] + rows.map { line($0.cells, widths, status: $0.status, palette) }
    }

    private func line(_ cells: [String], _ widths: [Int], status: Status?, _ palette: Palette) -> String {
        let lastShown = cells.indices.last { widths[$0] > 0 && !cells[$0].isEmpty } ?? 0
        return cells.indices.filter { widths[$0] > 0 && $0 <= lastShown }.map { index in
            var text = cells[index].fitted(to: widths[index])
            if index == lastShown { text = text.trimmedEnd }
            guard let status, index == statusColumn else { return text }
            return palette.paint(text, status)
        }.joined(separator: Table.gap)
    }

    private func columnWidths(within width: Int?) -> [Int] {
        var widths = titles.indices.map { column in
            // A column without any content takes no room, title included.
            let content = rows.map { $0.cells[column].count }.max() ?? 0
            return content == 0 && !rows.isEmpty ? 0 : max(titles[column].count, content)
        }
        guard let width else { return widths }
        func total() -> Int {
            widths.reduce(0, +) + Table.gap.count * max(0, widths.count { $0 > 0 } - 1)
        }
        while total() > width {
            let widest = widths.indices.max { widths[$0] < widths[$1] }
            guard let widest, widths[widest] > Table.narrowest else { break }
            widths[widest] -= 1
        }
        // Still too wide: columns go from the right, but for the status and what stands before it.
        for column in widths.indices.reversed() where column > statusColumn && total() > width {
            widths[column] = 0
        }
        return widths
    }
}
