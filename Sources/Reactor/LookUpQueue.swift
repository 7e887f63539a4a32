// Which name is looked up next, and by which lane: names of one host one after the other, so that a name server that does
// not answer for it holds up one lane and not all. A pure machine; `NameLookups` carries it out.

struct LookUpQueue {
    struct Name: Hashable {
        var host: String
        var port: UInt16
    }

    /// What may be asked and not be answered.
    let mostAsked: Int
    private var waiting: [Name] = []
    /// By lane; `nil`: it is free.
    private var busy: [Name?]
    /// How often each name was asked since it was last answered.
    private var asked: [Name: Int] = [:]
    private var count = 0

    init(lanes: Int, mostAsked: Int) {
        busy = Array(repeating: nil, count: lanes)
        self.mostAsked = mostAsked
    }

    /// A name is to be looked up, if it is not already; `false`: there is no room.
    mutating func ask(_ name: Name) -> Bool {
        guard count < mostAsked else { return false }
        count += 1
        asked[name, default: 0] += 1
        if asked[name] == 1 { waiting.append(name) }
        return true
    }

    /// A name that is to be looked up now, and the lane that does it; `nil`: none waits, or each must.
    mutating func next() -> (lane: Int, name: Name)? {
        guard let lane = busy.firstIndex(of: nil),
            let place = waiting.firstIndex(where: { name in !busy.contains { $0?.host == name.host } })
        else { return nil }
        let name = waiting.remove(at: place)
        busy[lane] = name
        return (lane, name)
    }

    /// A lane has the answer for its name.
    mutating func answered(by lane: Int) {
        guard let name = busy[lane] else { return }
        busy[lane] = nil
        count -= asked.removeValue(forKey: name) ?? 0
    }
}
