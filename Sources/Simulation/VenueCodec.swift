// What a venue's server puts on the wire: each protocol's packets, by the encoders that `holdfast play` uses.
import Basics
import Configuration
import FeedProtocols
import Wire

struct VenueCodec {
    let venue: Venue
    /// How many messages go in a packet at most; another number on each path.
    let cut: Int

    /// The packets of what is said of a generation.
    func packets(_ word: VenueWord, _ generation: Generation, at now: Instant) -> [[UInt8]] {
        switch venue.kind {
        case .itch, .soup: mold(word, generation)
        case .iex, .chain: segments(word, generation, at: now)
        case .pitch: units(word, generation, at: now)
        case .mdp3: numberedPackets(word, at: now)
        case .sequenced, .relayed: sequenced(word, generation, at: now)
        }
    }

    private func mold(_ word: VenueWord, _ generation: Generation) -> [[UInt8]] {
        let session = MoldSession(generation.session)
        let next = UInt64(generation.messages.count) + 1
        switch word {
        case .messages(let messages):
            return stride(from: 0, to: messages.count, by: cut).map { start in
                var builder = MoldUDP64PacketBuilder(session: session)
                let part = messages[start..<min(start + cut, messages.count)]
                builder.begin(at: messages[start].sequence)
                for message in part { _ = builder.append(message.payload) }
                return builder.bytes
            }
        case .heartbeat: return [MoldUDP64PacketBuilder.heartbeat(session: session, next: next)]
        case .endOfSession: return [MoldUDP64PacketBuilder.endOfSession(session: session, next: next)]
        case .idle: return []
        }
    }

    /// IEX-TP, version 1, DEEP 1.0 on channel 1.
    private func segments(_ word: VenueWord, _ generation: Generation, at now: Instant) -> [[UInt8]] {
        func segment(_ first: UInt64, _ messages: ArraySlice<TrueMessage>) -> [UInt8] {
            var body = ByteWriter()
            for message in messages {
                body.littleEndian(UInt16(message.payload.count))
                body.append(message.payload)
            }
            var writer = ByteWriter(capacity: 40 + body.bytes.count)
            writer.append([1, 0])
            writer.littleEndian(UInt16(0x8004))
            writer.littleEndian(UInt32(1))
            writer.littleEndian(UInt32(truncatingIfNeeded: generation.sessionEpoch))
            writer.littleEndian(UInt16(body.bytes.count))
            writer.littleEndian(UInt16(messages.count))
            writer.littleEndian(Int64(0))
            writer.littleEndian(first)
            writer.littleEndian(venue.wall(now).nanoseconds)
            writer.append(body.bytes)
            return writer.bytes
        }
        switch word {
        case .messages(let messages):
            return stride(from: 0, to: messages.count, by: cut).map { start in
                segment(messages[start].sequence, messages[start..<min(start + cut, messages.count)])
            }
        case .heartbeat, .endOfSession: return [segment(UInt64(generation.messages.count) + 1, [])]
        case .idle: return []
        }
    }

    private func units(_ word: VenueWord, _ generation: Generation, at now: Instant) -> [[UInt8]] {
        var builder = PITCHPacketBuilder()
        switch word {
        case .messages(let messages):
            return stride(from: 0, to: messages.count, by: cut).map { start in
                builder.begin(at: messages[start].sequence, time: venue.wall(now))
                for message in messages[start..<min(start + cut, messages.count)] {
                    _ = builder.append(message.payload)
                }
                return builder.bytes
            }
        case .heartbeat, .endOfSession:
            let next = UInt64(generation.messages.count) + 1
            return builder.heartbeat(next: next, time: venue.wall(now)).map { [$0] } ?? []
        case .idle: return []
        }
    }

    /// MDP 3.0: its heartbeats are messages like others.
    private func numberedPackets(_ word: VenueWord, at now: Instant) -> [[UInt8]] {
        guard case .messages(let messages) = word else { return [] }
        return messages.map { message in
            var builder = MDP3PacketBuilder()
            builder.begin(at: message.sequence, time: venue.wall(message.sentAt))
            _ = builder.append(message.payload)
            return builder.bytes
        }
    }

    private func sequenced(_ word: VenueWord, _ generation: Generation, at now: Instant) -> [[UInt8]] {
        let encoder = SequencedFrameEncoder(session: generation.sessionEpoch)
        func frame(
            _ kind: SequencedFrame.Kind, _ topic: [UInt8], _ sequence: UInt64, _ at: Instant,
            _ payload: [UInt8] = []
        ) -> [UInt8] {
            var writer = ByteWriter(capacity: 64)
            encoder.write(
                kind, topic: topic, sequence: sequence, sourceTime: venue.wall(at), payload: payload,
                into: &writer)
            return writer.bytes
        }
        switch word {
        case .messages(let messages):
            return messages.map {
                frame(.data, topic(of: $0.instrument), $0.sequence, $0.sentAt, $0.payload)
            }
        case .heartbeat:
            return [frame(.heartbeat(every: .milliseconds(100)), SequencedFrame.heartbeatTopic, 0, now)]
        case .idle(let instrument):
            return [frame(.idle, topic(of: instrument), generation.last(of: instrument), now)]
        case .endOfSession: return []
        }
    }

    func topic(of instrument: Int) -> [UInt8] { Array("\(venue.instruments[instrument])/".utf8) }
}
