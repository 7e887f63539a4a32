// `[journal]` of `gateway.toml`.

extension Section where Options == JournalOptions {
    static var journal: Section {
        Section(
            keys: [
                .value("directory", \.directory, Rules.file),
                .value("fsync", \.fsync, Rules.word(JournalOptions.Sync.self)),
                .value("fsync_every", \.fsyncEvery, Rules.duration(.milliseconds(1), .seconds(60))),
                .value("segment_bytes", \.segmentBytes, Rules.integer(65536...4_294_967_296)),
                .value("keep_bytes", \.keepBytes, Rules.integer(1_048_576...1_125_899_906_842_624)),
                .value("keep", \.keep, Rules.duration(.seconds(60), .seconds(3650 * 86400))),
                .value("most_waiting", \.mostWaiting, Rules.integer(1_048_576...1_073_741_824)),
                .value(
                    "most_waiting_in_all", \.mostWaitingInAll, Rules.integer(1_048_576...68_719_476_736)),
                .value("processors", \.processors, Rules.processors),
                .value("replica_warning", \.replicaWarning, Rules.lag),
                .value("replica_critical", \.replicaCritical, Rules.lag),
            ],
            check: { journal, place in
                checkLag(
                    journal.replicaWarning, journal.replicaCritical, "replica_warning", "replica_critical",
                    at: place)
                if place.accepted("most_waiting", "most_waiting_in_all"),
                    journal.mostWaiting > journal.mostWaitingInAll
                {
                    place.key("most_waiting_in_all").refuse(
                        "\(journal.mostWaitingInAll): must be at least most_waiting (\(journal.mostWaiting)), which "
                            + "is one channel's")
                }
                guard place.accepted("segment_bytes", "keep_bytes"),
                    journal.segmentBytes > journal.keepBytes
                else { return }
                place.key("keep_bytes").refuse(
                    "\(journal.keepBytes): must be at least segment_bytes (\(journal.segmentBytes)): only whole "
                        + "segments are removed")
            })
    }
}
