// Numbers as a line of blocks, one character for each.

public enum Sparkline {
    private static let blocks = Array("▁▂▃▄▅▆▇█")

    /// One block for each value, the lowest for the least and the highest for the most of them; a space for
    /// what is missing. Values that are all alike are the lowest block.
    public static func text(_ values: [Double?]) -> String {
        let known = values.compactMap { $0 }.filter(\.isFinite)
        guard let least = known.min(), let most = known.max() else {
            return String(repeating: " ", count: values.count)
        }
        return String(
            values.map { value -> Character in
                guard let value, value.isFinite else { return " " }
                // Halves first: the difference of the two ends may be beyond what a number holds.
                let span = most / 2 - least / 2
                let share = span > 0 ? (value / 2 - least / 2) / span : 0
                let index = Int((share * Double(blocks.count - 1)).rounded())
                return blocks[min(max(index, 0), blocks.count - 1)]
            })
    }
}
