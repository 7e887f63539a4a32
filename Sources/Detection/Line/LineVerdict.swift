// What a line's record amounts to, in a status and in words.
public import Basics
public import Wire

extension LineMachine {
    /// What is wrong or right, without the numbers that move all the time: another one is a change.
    public enum Condition: Hashable, Sendable {
        case notCaptured(String)
        /// The venue does not trade.
        case closed(until: SessionOpening?)
        /// Nothing heard yet, and not long enough awaited.
        case awaited
        /// Nothing heard ever, on this line and the others.
        case nothingSeen
        /// What comes is not of the protocol.
        case garbled
        /// Silent while another line, named, is heard.
        case silentBeside(String, ever: Bool)
        /// Silent, like every other line.
        case silent
        case ended
        case lossy(Status)
        /// The capture dropped packets, and whose loss it is that numbers are missing is not known.
        case unjudged
        case flowing
    }

    public struct Verdict: Hashable, Sendable {
        public var condition: Condition
        public var status: Status
        public var reason: String
        public var values: [NamedValue]
    }

    /// What holds of a line now.
    public func verdict(_ line: Int, at now: Instant) -> Verdict {
        let condition = condition(line, at: now)
        let (status, reason) = words(condition, lines[line], at: now)
        return Verdict(
            condition: condition, status: status, reason: reason, values: values(line, at: now))
    }

    /// What is wrong or right with a line now.
    ///
    /// - Precondition: there is such a line.
    public func condition(_ line: Int, at now: Instant) -> Condition {
        precondition(lines.indices.contains(line), "there is no line \(line)")
        let state = lines[line]
        let openedAt: Instant
        switch state.capture {
        case .opening: return .awaited
        case .closed(let reason): return .notCaptured(reason)
        case .open(let since): openedAt = since
        }
        if state.garbled >= LineMachine.garbledPackets { return .garbled }
        if case .closed(let opening) = session { return .closed(until: opening) }
        if let silent = silence(line, since: openedAt, at: now) { return silent }
        // Before the session it was silent for good reasons, and a word in it is still awaited.
        guard let heard = state.lastHeard, now - heard < limits.silence else { return .awaited }
        if state.isEnded { return .ended }
        if state.loss.status != .ok { return .lossy(state.loss.status) }
        return state.unjudged.sum > 0 ? .unjudged : .flowing
    }

    private func silence(_ line: Int, since openedAt: Instant, at now: Instant) -> Condition? {
        let state = lines[line]
        let ever = state.lastHeard != nil
        let since = max(state.lastHeard ?? openedAt, sessionSince)
        let isLong = now - since >= limits.silence
        let isBehind =
            state.twin.map {
                $0.packets >= LineMachine.twinPackets && now - $0.since >= limits.silenceBehindTwin
            } ?? false
        guard isLong || isBehind else { return nil }
        // Lines that fall silent together do so at their own heartbeats: clearly later means still heard.
        let clearly = since + (isBehind ? .zero : limits.silence / 2)
        let heard = lines.indices.first { other in
            guard other != line, let last = lines[other].lastHeard else { return false }
            return now - last < limits.silence && last >= clearly && (isBehind || !lines[other].isEnded)
        }
        if let heard { return .silentBeside(lines[heard].name, ever: ever) }
        guard isLong else { return nil }
        if state.isEnded { return .ended }
        return ever ? .silent : .nothingSeen
    }
}

// MARK: - Words

extension LineMachine {
    private func words(_ condition: Condition, _ state: LineState, at now: Instant) -> (Status, String) {
        switch condition {
        case .notCaptured(let reason): (.unknown, reason)
        case .closed(let opening): (.ok, opening.map { "closed until \($0)" } ?? "closed")
        case .awaited: (.unknown, "nothing heard yet")
        case .nothingSeen:
            (
                .unknown,
                "nothing seen so far: no feed, a wrong group or interface, or a NIC in kernel bypass, of which "
                    + "a capture sees nothing"
            )
        case .garbled: (.unknown, "what comes is of another protocol: check protocol and group")
        case .silentBeside(let other, true):
            (.critical, "silent for \(short(silence(state, at: now))) while \(other) is heard")
        case .silentBeside(let other, false):
            (
                .critical,
                "never heard while \(other) is: dead, not joined, or hidden by kernel bypass on this NIC"
            )
        case .silent: (.critical, "silent for \(short(silence(state, at: now))), like every line of the feed")
        case .ended: (.ok, "the session has ended")
        case .lossy(let status): (status, lossWords(state))
        case .unjudged:
            (
                .unknown,
                "the capture dropped packets, so whether \(state.unjudged.sum) missing \(limits.unit) are the "
                    + "line's loss is not known: raise buffer_bytes"
            )
        case .flowing: (.ok, "flows")
        }
    }

    private func silence(_ state: LineState, at now: Instant) -> Duration {
        state.lastHeard.map { now - $0 } ?? .zero
    }

    private func lossWords(_ state: LineState) -> String {
        guard state.missing.sum > 0 else { return "lost \(limits.unit) again and again lately" }
        let all = state.missing.sum - min(state.missing.sum, state.lostHere.sum)
        let share = Int64(((state.lossRatio ?? 0) * 100_000).rounded())
        var text = "\(share / 1000).\(padded(share % 1000, 3)) % lost within \(short(limits.lossWindow)): "
        text += "\(state.missing.sum) \(limits.unit)"
        if lines.count > 1, all > 0 { text += ", \(all) of them on every line" }
        return text
    }

    private func short(_ duration: Duration) -> String {
        let tenths = max(0, duration.nanoseconds) / 100_000_000
        return tenths % 10 == 0 ? "\(tenths / 10) s" : "\(tenths / 10).\(tenths % 10) s"
    }
}

// MARK: - Values

extension LineMachine {
    private func values(_ line: Int, at now: Instant) -> [NamedValue] {
        let state = lines[line]
        let counters = state.counters
        var values = [
            count("packets", counters.packets), count("heartbeats", counters.heartbeats),
            count("gaps", counters.gaps), count("lost_\(limits.unit)", counters.lost),
            count("lost_everywhere_\(limits.unit)", counters.lostEverywhere),
            count("unjudged_\(limits.unit)", counters.unjudged),
            count("duplicate_\(limits.unit)", counters.duplicates),
            count("behind_\(limits.unit)", behind(line)),
            count("out_of_order_packets", counters.outOfOrder), count("stray_packets", counters.strays),
            count("malformed_packets", counters.malformed),
            count("capture_dropped_packets", counters.captureDropped), count("epochs", counters.epochs),
        ]
        if limits.unit == "messages" { values.insert(count("messages", counters.messages), at: 1) }
        if let ratio = state.lossRatio { values.append(NamedValue("loss_ratio", .number(ratio))) }
        if let last = state.lastHeard {
            values.append(NamedValue("silence_s", .number(max(0, (now - last).inSeconds))))
        }
        if !state.gaps.isEmpty {
            values.append(NamedValue("last_gaps", .text(gapWords(state.gaps.elements))))
        }
        if let figures = state.skew.figures {
            values.append(NamedValue("skew_median_us", .number(figures.median)))
            values.append(NamedValue("skew_p99_us", .number(figures.p99)))
        }
        if let leader { values.append(NamedValue("leader", .text(leader))) }
        if ignored > 0 { values.append(count("ignored_packets", ignored)) }
        return values
    }

    private func count(_ name: String, _ value: UInt64) -> NamedValue {
        NamedValue(name, .integer(Int64(clamping: value)))
    }

    /// `1–2, 17`, and with its channel where that is not 0.
    private func gapWords(_ gaps: [LineGap]) -> String {
        gaps.map { $0.channel == 0 ? "\($0.range)" : "\($0.range) of channel \($0.channel)" }
            .joined(separator: ", ")
    }

    /// The line that is usually first; `nil`: nothing could be compared yet.
    private var leader: String? {
        let medians = lines.dropFirst().compactMap { state in
            state.skew.figures.map { (state.name, $0.median) }
        }
        guard let first = medians.min(by: { $0.1 < $1.1 }) else { return nil }
        return first.1 < 0 ? first.0 : lines[0].name
    }
}
