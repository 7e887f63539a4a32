// What a client says of itself: its name, how far it is, and when it is to be missed. The gateway publishes it as the
// subject `client/<name>`.
import Basics

/// A client's lease: another one is to come before it expires.
public struct ClientLease: Hashable, Sendable {
    /// Channels that one lease names.
    public static let mostPositions = 64
    /// The shortest lease: a client that is well may be late by as much.
    public static let shortest: Duration = .milliseconds(500)
    /// The longest lease: an hour.
    public static let longest: Duration = .seconds(3600)

    public var name: String
    /// Without another lease within this, something happened to the client; zero: it ends, and means to.
    public var expiresAfter: Duration
    public var positions: [Position]
    /// Messages that it missed since it began, as far as it knows.
    public var missed: UInt64

    /// How far the client is in a channel.
    public struct Position: Hashable, Sendable {
        /// What it is told by.
        public enum Mark: Hashable, Sendable {
            /// The highest sequence of an epoch in any header or gap.
            case sequence(UInt64, epoch: UInt64)
            /// `published` of the last heartbeat, and its run: for topics that are numbered each by itself.
            case published(UInt64, run: UInt32)
        }

        public var feed: String
        public var channel: UInt16
        public var mark: Mark

        public init(feed: String, channel: UInt16 = 0, _ mark: Mark) {
            self.feed = feed
            self.channel = channel
            self.mark = mark
        }

        var json: JSON {
            var members = [
                JSON.Member("feed", .string(feed)), JSON.Member("channel", .integer(Int64(channel))),
            ]
            switch mark {
            case .sequence(let sequence, let epoch):
                members.append(JSON.Member("epoch", .string(String(epoch))))
                members.append(JSON.Member("sequence", .integer(Int64(clamping: sequence))))
            case .published(let published, let run):
                members.append(JSON.Member("run", .integer(Int64(run))))
                members.append(JSON.Member("published", .integer(Int64(clamping: published))))
            }
            return .object(members)
        }

        init(_ json: JSON) throws(WireError) {
            let fields = Fields(part: json)
            feed = try fields.name("feed")
            channel = try fields.channelOrZero("channel")
            if fields.has("published") {
                guard let run = UInt32(exactly: try fields.integer("run")) else {
                    throw fields.failure("run", "the header's run")
                }
                mark = .published(UInt64(try fields.integer("published")), run: run)
            } else {
                mark = .sequence(UInt64(try fields.integer("sequence")), epoch: try fields.epoch("epoch"))
            }
        }
    }

    public init(name: String, expiresAfter: Duration, positions: [Position] = [], missed: UInt64 = 0) {
        self.name = name
        self.expiresAfter = expiresAfter
        self.positions = positions
        self.missed = missed
    }

    var members: [JSON.Member] {
        [
            JSON.Member("name", .string(name)),
            JSON.Member("expires_after_s", .number(expiresAfter.inSeconds)),
            JSON.Member("missed", .integer(Int64(clamping: missed))),
            JSON.Member("positions", .array(positions.map(\.json))),
        ]
    }

    init(_ fields: Fields, _ json: JSON) throws(WireError) {
        name = try fields.name("name")
        let (shortest, longest) = (ClientLease.shortest.inSeconds, ClientLease.longest.inSeconds)
        guard let seconds = json["expires_after_s"]?.double,
            seconds == 0 || (shortest...longest).contains(seconds)
        else { throw fields.failure("expires_after_s", "0, or a number from \(shortest) to \(longest)") }
        expiresAfter = .ofSeconds(seconds)
        missed = fields.has("missed") ? UInt64(try fields.integer("missed")) : 0
        positions = []
        guard fields.has("positions") else { return }
        guard let items = json["positions"]?.array, items.count <= ClientLease.mostPositions else {
            throw fields.failure("positions", "an array of at most \(ClientLease.mostPositions) positions")
        }
        for (index, item) in items.enumerated() {
            do throws(WireError) {
                positions.append(try Position(item))
            } catch {
                throw WireError(
                    key: "positions[\(index)].\(error.key)", found: error.found, expected: error.expected)
            }
        }
    }
}
