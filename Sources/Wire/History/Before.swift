// The last seconds before a change for the worse, in the state that tells it.
import Basics

/// A few values on a grid of times, oldest first; the last one is at the change.
public struct Before: Hashable, Sendable {
    public static let mostSeries = 6
    public static let mostPoints = 20

    public struct Series: Hashable, Sendable {
        public var name: String
        /// `nil`: no reading then.
        public var values: [Float?]

        public init(_ name: String, _ values: [Float?]) {
            self.name = name
            self.values = values
        }
    }

    /// Between two values.
    public var step: Duration
    public var series: [Series]

    public init(step: Duration, series: [Series]) {
        self.step = step
        self.series = series
    }

    var json: JSON {
        let values = series.map { series in
            JSON.Member(series.name, .array(series.values.map { $0.map { .number($0.shortest) } ?? .null }))
        }
        return .object([
            JSON.Member("step_s", .number(step.inSeconds)), JSON.Member("values", .object(values)),
        ])
    }

    /// `nil` for what is none; a state without it is still a state. What is beyond the bounds is left out.
    init?(json: JSON) {
        guard let step = json["step_s"]?.double, step > 0, let members = json["values"]?.members else {
            return nil
        }
        self.step = .ofSeconds(step)
        series = members.prefix(Before.mostSeries).map { member in
            let values = (member.value.array ?? []).prefix(Before.mostPoints)
            return Series(member.key, values.map { $0.double.map { Float($0) } })
        }
    }
}
