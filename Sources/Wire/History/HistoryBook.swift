// The recent past of every subject, within a bound on memory that all of them share: the more values there are,
// the fewer points each may keep.
public import Basics

/// How much of the past is kept.
public struct HistoryLimits: Hashable, Sendable {
    /// How far back.
    public var keep: Duration = .seconds(60)
    /// How much memory, for all subjects together.
    public var mostBytes = 1 << 20
    /// How much of it a state that changes for the worse brings along; zero: nothing.
    public var before: Duration = .seconds(10)

    public init() {}
}

/// The recent past of one publisher's subjects.
public struct HistoryBook: Sendable {
    /// Numbers of one subject that are kept; the rest are left out.
    public static let mostValues = 32
    /// What a value costs besides its points, in bytes, as the bound counts it.
    static let overhead = 160
    /// A point is counted with the room that a list keeps free.
    static let bytesPerPoint = 13
    static let fewestPoints = 8

    public var limits: HistoryLimits
    private var tracks: [Subject: [ValueTrack]] = [:]
    private var trackCount = 0
    /// Values that had no room.
    public private(set) var refused: UInt64 = 0

    public init(_ limits: HistoryLimits = HistoryLimits()) { self.limits = limits }

    /// How many points each value may keep.
    var mostPoints: Int {
        let share = limits.mostBytes / max(1, trackCount) - HistoryBook.overhead
        return max(HistoryBook.fewestPoints, share / HistoryBook.bytesPerPoint)
    }

    private var mostTracks: Int {
        limits.mostBytes / (HistoryBook.overhead + HistoryBook.fewestPoints * HistoryBook.bytesPerPoint)
    }

    /// The memory in use, as the bound counts it.
    var bytes: Int {
        tracks.values.reduce(0) { sum, list in
            list.reduce(sum) { $0 + $1.bytes + HistoryBook.overhead }
        }
    }

    /// Takes the numbers and flags of a reading in.
    public mutating func record(_ sample: Sample, at now: Instant) {
        let room = Room(
            points: mostPoints, tracks: mostTracks - trackCount, keep: limits.keep)
        let (added, refused, isEmpty) = HistoryBook.record(
            sample.values, into: &tracks[sample.subject, default: []], at: now, room)
        self.refused &+= refused
        trackCount += added
        if isEmpty { tracks[sample.subject] = nil }
        if added > 0 { dropStale(sample.subject, at: now) }
    }

    /// What a reading may take.
    private struct Room {
        /// Of each value.
        var points: Int
        /// Values that are new.
        var tracks: Int
        var keep: Duration
    }

    /// Takes the values of one subject in; returns how many are new, how many had no room, and whether there are none.
    private static func record(
        _ values: [NamedValue], into list: inout [ValueTrack], at now: Instant, _ room: Room
    ) -> (added: Int, refused: UInt64, isEmpty: Bool) {
        var added = 0
        var refused: UInt64 = 0
        for (position, named) in values.enumerated() {
            guard let number = named.value.float else { continue }
            if let index = index(of: named.name, in: list, near: position) {
                list[index].append(number, at: now, keep: room.keep, most: room.points)
                continue
            }
            guard added < room.tracks, list.count < mostValues else {
                refused &+= 1
                continue
            }
            var track = ValueTrack(named.name, at: now)
            track.append(number, at: now, keep: room.keep, most: room.points)
            list.append(track)
            added += 1
        }
        return (added, refused, list.isEmpty)
    }

    /// Readings list their values in one order, mostly, so that it is looked for at its place first.
    private static func index(of name: String, in list: [ValueTrack], near position: Int) -> Int? {
        if position < list.count, list[position].name == name { return position }
        return list.firstIndex { $0.name == name }
    }

    /// Values that a subject no longer has.
    private mutating func dropStale(_ subject: Subject, at now: Instant) {
        guard let before = tracks[subject]?.count else { return }
        tracks[subject]?.removeAll { now - $0.lastSeen >= limits.keep }
        trackCount -= before - (tracks[subject]?.count ?? 0)
    }

    public mutating func forget(_ subject: Subject) {
        trackCount -= tracks.removeValue(forKey: subject)?.count ?? 0
    }

    /// The points of the last `span`, of all values of a subject.
    public func series(of subject: Subject, last span: Duration, at now: Instant) -> [HistoryDocument.Series]
    {
        (tracks[subject] ?? []).compactMap { track in
            let points = track.points(within: min(span, limits.keep), of: now)
            return points.isEmpty ? nil : HistoryDocument.Series(track.name, points)
        }
    }

    /// The values that changed lately, on a grid of times: what a state brings along.
    public func before(_ now: Instant, of subject: Subject) -> Before? {
        guard limits.before > .zero, let tracks = tracks[subject] else { return nil }
        let moving = tracks.filter { $0.changed(within: limits.before, of: now) }.prefix(Before.mostSeries)
        guard !moving.isEmpty else { return nil }
        let step = limits.before / Before.mostPoints
        let times = (0..<Before.mostPoints).map { now - step * (Before.mostPoints - 1 - $0) }
        return Before(
            step: step,
            series: moving.map { track in
                Before.Series(track.name, times.map { track.value(at: $0) })
            })
    }
}

extension Value {
    /// The value as a number that can be drawn; `nil` for texts and what is not finite.
    fileprivate var float: Float? {
        switch self {
        case .integer(let whole): Float(whole)
        case .number(let number): Float(number).isFinite ? Float(number) : nil
        case .flag(let flag): flag ? 1 : 0
        case .text: nil
        }
    }
}
