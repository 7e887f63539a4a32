// Whose step of a CURVE handshake is next. A step takes as long as a hundred messages do, and strangers ask for as many as
// they like: there is one at a time, with a rest in which everything else has its turn, and the turn goes round the
// addresses that wait. A pure machine; it knows connections by their descriptors.
import Basics

/// Connections whose step waits. There are no more than the book of connections has in their handshake.
struct HandshakeQueue {
    /// From the beginning of a step to that of the next one, at least. A step takes about 100 µs.
    static let pace: Duration = .microseconds(400)

    /// Those of one address.
    private struct Line {
        /// They have answered our first step: the oldest goes first, and before all others, or what was done for them
        /// is lost.
        var begun: [Int32] = []
        /// The newest goes first. Where more come than can be served, who has waited longest is about to be hung up on:
        /// were it next, nobody would get through.
        var new: [Int32] = []

        var isEmpty: Bool { begun.isEmpty && new.isEmpty }

        mutating func next() -> Int32? { begun.isEmpty ? new.popLast() : begun.removeFirst() }

        mutating func remove(_ descriptor: Int32) {
            begun.removeAll { $0 == descriptor }
            new.removeAll { $0 == descriptor }
        }
    }

    private var lines: [IPv4Address?: Line] = [:]
    /// The addresses that wait, in the order of their turns.
    private var turns: [IPv4Address?] = []
    private var addresses: [Int32: IPv4Address?] = [:]
    private var restsUntil = Instant.zero

    /// When the next step may begin; `nil`: nobody waits.
    var deadline: Instant? { addresses.isEmpty ? nil : restsUntil }

    var count: Int { addresses.count }

    /// A connection that does not wait yet does.
    ///
    /// - Parameters:
    ///   - address: `nil`: it is not known; all those share their turns.
    ///   - hasBegun: it has answered our first step.
    mutating func add(_ descriptor: Int32, from address: IPv4Address?, hasBegun: Bool) {
        guard addresses.updateValue(address, forKey: descriptor) == nil else { return }
        if lines[address] == nil { turns.append(address) }
        if hasBegun {
            lines[address, default: Line()].begun.append(descriptor)
        } else {
            lines[address, default: Line()].new.append(descriptor)
        }
    }

    /// It is gone, or waits no more.
    mutating func remove(_ descriptor: Int32) {
        guard let address = addresses.removeValue(forKey: descriptor) else { return }
        lines[address]?.remove(descriptor)
        guard lines[address]?.isEmpty == true else { return }
        lines[address] = nil
        turns.removeAll { $0 == address }
    }

    /// Whose step is to be done now; `nil`: nobody waits, or it is too soon.
    mutating func next(at now: Instant) -> Int32? {
        guard now >= restsUntil, let address = turns.first, let descriptor = lines[address]?.next() else {
            return nil
        }
        restsUntil = now + HandshakeQueue.pace
        addresses[descriptor] = nil
        turns.removeFirst()
        if lines[address]?.isEmpty == true {
            lines[address] = nil
        } else {
            turns.append(address)
        }
        return descriptor
    }
}
