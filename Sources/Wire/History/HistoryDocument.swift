// The answer to the `history` request: the recent past of one subject's numbers.
public import Basics

/// What a publisher remembers of a subject.
public struct HistoryDocument: Hashable, Sendable {
    /// A value that held from then on, until the next point.
    public struct Point: Hashable, Sendable {
        /// How long before the stamp's time.
        public var age: Duration
        /// `nil`: no reading from then on.
        public var value: Double?

        public init(age: Duration, value: Double?) {
            self.age = age
            self.value = value
        }
    }

    public struct Series: Hashable, Sendable {
        public var name: String
        /// Oldest first.
        public var points: [Point]

        public init(_ name: String, _ points: [Point]) {
            self.name = name
            self.points = points
        }
    }

    public var stamp: Stamp
    public var subject: Subject
    /// How far back it reaches.
    public var span: Duration
    public var series: [Series]

    public init(stamp: Stamp, subject: Subject, span: Duration, series: [Series]) {
        self.stamp = stamp
        self.subject = subject
        self.span = span
        self.series = series
    }

    public var json: JSON {
        let values = series.map { series in
            JSON.Member(
                series.name,
                .array(
                    series.points.map { point in
                        .array([.number(-point.age.inSeconds), point.value.map { .number($0) } ?? .null])
                    }))
        }
        return .object(
            stamp.members + [
                JSON.Member("kind", .string(subject.kind.rawValue)),
                JSON.Member("name", .string(subject.name)),
                JSON.Member("last_s", .number(span.inSeconds)), JSON.Member("values", .object(values)),
            ])
    }

    public init(json: JSON) throws(WireError) {
        let fields = try Fields(json)
        guard let members = json["values"]?.members, members.count <= mostValues else {
            throw fields.failure("values", "an object of at most \(mostValues) lists")
        }
        var series: [Series] = []
        for member in members {
            guard let items = member.value.array else { throw fields.failure("values", "lists of points") }
            var points: [Point] = []
            for item in items {
                guard let pair = item.array, pair.count == 2, let time = pair.first?.double, time <= 0 else {
                    throw fields.failure("values", "points such as [-1.5, 0.012]")
                }
                points.append(Point(age: .ofSeconds(-time), value: pair.last?.double))
            }
            series.append(Series(member.key, points))
        }
        self.init(
            stamp: try Stamp(fields), subject: try fields.kindAndName(),
            span: .ofSeconds(try fields.number("last_s", 0...Request.longestHistory.inSeconds)),
            series: series)
    }
}
