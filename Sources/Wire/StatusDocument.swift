// The answer to the `status` request: all current states of one publisher, and the change to go on from.
public import Basics

/// All that a publisher would say at one moment.
public struct StatusDocument: Hashable, Sendable {
    /// `change` is the publisher's latest: what comes with a higher number is news.
    public var stamp: Stamp
    public var states: [StateMessage]

    public init(stamp: Stamp, states: [StateMessage]) {
        self.stamp = stamp
        self.states = states
    }

    public var json: JSON {
        .object(stamp.members + [JSON.Member("states", .array(states.map(\.json)))])
    }

    /// Keys that it does not know, such as a reply's `ok`, are ignored.
    public init(json: JSON) throws(WireError) {
        let fields = try Fields(json)
        stamp = try Stamp(fields)
        guard let items = json["states"]?.array else { throw fields.failure("states", "an array of states") }
        states = []
        states.reserveCapacity(items.count)
        for (index, item) in items.enumerated() {
            do throws(WireError) {
                let state = try StateMessage(json: item)
                guard state.stamp.host == stamp.host, state.stamp.incarnation == stamp.incarnation else {
                    throw WireError(
                        key: "host", found: "\"\(state.stamp.host)\" in run \(state.stamp.incarnation)",
                        expected: "\"\(stamp.host)\" in run \(stamp.incarnation)")
                }
                states.append(state)
            } catch {
                throw WireError(
                    key: "states[\(index)].\(error.key)", found: error.found, expected: error.expected)
            }
        }
    }
}
