// What somebody meant who mistyped a word.

/// The candidate with the fewest single-character edits to `word`, if they are few enough to be a slip: up to
/// a third of the word, at least 1.
func nearest(to word: String, among candidates: [String]) -> String? {
    let limit = max(1, min(word.utf8.count, 30) / 3)
    return
        candidates
        .map { (name: $0, distance: editDistance(word, $0)) }
        .filter { $0.distance <= limit }
        .min { $0.distance < $1.distance }?.name
}

/// Levenshtein's distance of the first 64 bytes, with a swap of neighbours as one edit.
private func editDistance(_ left: String, _ right: String) -> Int {
    let left = Array(left.utf8.prefix(64))
    let right = Array(right.utf8.prefix(64))
    var beforeLast: [Int] = []
    var last = Array(0...right.count)
    for (row, byte) in left.enumerated() {
        var current = [row + 1]
        for (column, other) in right.enumerated() {
            let change = last[column] + (byte == other ? 0 : 1)
            var best = min(change, last[column + 1] + 1, current[column] + 1)
            if row > 0, column > 0, byte == right[column - 1], other == left[row - 1] {
                best = min(best, beforeLast[column - 1] + 1)
            }
            current.append(best)
        }
        beforeLast = last
        last = current
    }
    return last[right.count]
}
