// How much of what waits at a socket is taken in one turn of the loop: by what it costs, and not only by number. One status of
// a thousand subjects costs as much as thousands of small requests.

struct TurnBudget: Hashable, Sendable {
    /// Messages of a turn, where each costs little.
    static let messages = 64
    /// So many bytes that are made cost as much as one message; to read a request costs four times as much by the byte.
    static let bytesOfOne = 4 << 10

    private var left = TurnBudget.messages * TurnBudget.bytesOfOne

    /// Whether another message is taken. One always is, whatever it will cost.
    var hasRoom: Bool { left > 0 }

    /// A message was taken.
    mutating func took() { left -= TurnBudget.bytesOfOne }

    /// It was so long.
    mutating func read(bytes: Int) { left -= min(left, 4 * bytes) }

    /// So much was made for it.
    mutating func made(bytes: Int) { left -= min(left, bytes) }
}
