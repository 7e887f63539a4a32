// Who holds each prefix, for the fan-out of every message: a chain of holders for each, in one array. A holder is a number
// of our own and not a connection's, whose descriptor may belong to somebody else before the last of what it held is
// given up.

struct HolderIndex: Sendable {
    typealias Holder = UInt32

    private static let end = UInt32.max

    private struct Link {
        var holder: Holder
        var next: UInt32
    }

    /// By the prefix's handle.
    private var first: [UInt32] = []
    private var links: [Link] = []
    private var unused = HolderIndex.end
    /// The connection of each holder; `nil`: it is gone.
    private var connections: [Int32?] = []
    private var unusedHolders: [Holder] = []
    /// The look-up in which a holder was found last.
    private var found: [UInt32] = []
    private var lookUp: UInt32 = 0

    // MARK: - Holders

    mutating func makeHolder(of connection: Int32) -> Holder {
        if let holder = unusedHolders.popLast() {
            connections[Int(holder)] = connection
            return holder
        }
        connections.append(connection)
        found.append(0)
        return Holder(connections.count - 1)
    }

    /// Its connection is gone: it is found no more.
    mutating func leave(_ holder: Holder) { connections[Int(holder)] = nil }

    /// It holds nothing any more: its number may be given to another.
    mutating func forget(_ holder: Holder) {
        leave(holder)
        unusedHolders.append(holder)
    }

    // MARK: - Prefixes

    mutating func add(_ prefix: PrefixBook.Handle, _ holder: Holder) {
        while first.count <= Int(prefix) { first.append(HolderIndex.end) }
        let link = Link(holder: holder, next: first[Int(prefix)])
        let place = unused
        if place == HolderIndex.end {
            first[Int(prefix)] = UInt32(links.count)
            links.append(link)
        } else {
            unused = links[Int(place)].next
            links[Int(place)] = link
            first[Int(prefix)] = place
        }
    }

    mutating func remove(_ prefix: PrefixBook.Handle, _ holder: Holder) {
        guard Int(prefix) < first.count else { return }
        var before: Int?
        var place = first[Int(prefix)]
        while place != HolderIndex.end {
            let link = links[Int(place)]
            // With it all who are gone, or many who go together would each pass by all the others.
            if link.holder == holder || connections[Int(link.holder)] == nil {
                if let before { links[before].next = link.next } else { first[Int(prefix)] = link.next }
                links[Int(place)].next = unused
                unused = place
            } else {
                before = Int(place)
            }
            place = link.next
        }
    }

    // MARK: - Looking up

    /// Another topic is looked up: who is found for one of its prefixes is not found for another again.
    mutating func begin() {
        lookUp &+= 1
        guard lookUp == 0 else { return }
        // The numbers begin again: none of the old ones may stand for the new ones.
        for index in found.indices { found[index] = 0 }
        lookUp = 1
    }

    /// Adds the connections that hold a prefix and were not found yet.
    mutating func find(_ prefix: PrefixBook.Handle, into receivers: inout [Int32]) {
        guard Int(prefix) < first.count else { return }
        var place = first[Int(prefix)]
        while place != HolderIndex.end {
            let link = links[Int(place)]
            let holder = Int(link.holder)
            if found[holder] != lookUp, let connection = connections[holder] {
                found[holder] = lookUp
                receivers.append(connection)
            }
            place = link.next
        }
    }
}
