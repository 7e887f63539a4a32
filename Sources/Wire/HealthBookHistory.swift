// What a health book remembers of its subjects' numbers: for whoever asks, and for the states that change for the
// worse.
public import Basics

extension HealthBook {
    /// A reading for the history alone. Of a subject that is not reported nothing is kept.
    public mutating func record(_ sample: Sample, at now: Instant) {
        guard entries[sample.subject]?.isHearsay == false else { return }
        past.record(sample, at: now)
    }

    /// Keeps so much from now on.
    public mutating func keep(_ limits: HistoryLimits) { past.limits = limits }

    /// The last `span` of a subject's numbers, at most what is kept; `nil`: it is not watched.
    public func history(
        of subject: Subject, last span: Duration, at now: Instant, wall: WallTime
    ) -> HistoryDocument? {
        guard let entry = entries[subject], !entry.isHearsay else { return nil }
        let stamp = Stamp(host: host, incarnation: incarnation, change: change, at: wall)
        return HistoryDocument(
            stamp: stamp, subject: subject, span: min(span, past.limits.keep),
            series: past.series(of: subject, last: span, at: now))
    }

    /// Takes a report into an entry; a status that is worse than the one before brings its past along.
    func take(_ report: Report, into entry: inout Entry, at now: Instant) -> Bool {
        let previous = entry.message.status
        let isNews = entry.take(report, at: now)
        let status = entry.message.status
        if status != previous {
            let isWorse = status.severity > previous.severity
            entry.message.before = isWorse ? past.before(now, of: report.subject) : nil
        }
        return isNews
    }
}
