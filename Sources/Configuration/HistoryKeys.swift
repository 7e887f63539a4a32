// `[history]`, the agent's memory of its subjects' numbers.

extension Section where Options == HistoryOptions {
    static var history: Section {
        Section(
            keys: [
                .value("keep", \.keep, Rules.duration(.seconds(1), .seconds(3600))),
                .value("record_every", \.recordEvery, Rules.duration(.milliseconds(50), .seconds(60))),
                .value("most_bytes", \.mostBytes, Rules.integer(65536...67_108_864)),
                .value("before", \.before, Rules.duration(.zero, .seconds(60))),
            ],
            check: { history, place in
                guard place.accepted("keep", "before"), history.before > history.keep else { return }
                place.key("before").refuse(
                    "\"\(history.before.written)\": must not be longer than keep "
                        + "(\"\(history.keep.written)\"), which is all that is remembered")
            })
    }
}
