// Whose market data each prefix asks for, by the prefix's number: what clients hold of one feed is found among half a
// million without reading each name.

struct PrefixFeeds: Sendable {
    /// From 1; every feed of which somebody was granted something since the start.
    private var numbers: [String: UInt32] = [:]
    /// By the prefix's handle; 0: of none.
    private var feeds: [UInt32] = []

    /// A prefix got its number.
    mutating func note(_ prefix: PrefixBook.Handle, _ request: TopicRequest?) {
        while feeds.count <= Int(prefix) { feeds.append(0) }
        switch request {
        case .data(let feed, _), .batch(let feed, _):
            let next = UInt32(numbers.count) + 1
            let number = numbers[feed] ?? next
            if number == next { numbers[feed] = number }
            feeds[Int(prefix)] = number
        case .control, .sync, nil: feeds[Int(prefix)] = 0
        }
    }

    /// Those among some prefixes that ask for a feed's data.
    func select(_ prefixes: [PrefixBook.Handle], of feed: String) -> [PrefixBook.Handle] {
        guard let number = numbers[feed] else { return [] }
        return prefixes.filter { feeds[Int($0)] == number }
    }
}
