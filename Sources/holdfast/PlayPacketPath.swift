// One path of packets of `holdfast play`: a socket, a target, and losses made on purpose.
import Basics
import FeedProtocols
import Glibc
import Linux

/// Decides which of a path's packets are lost on purpose: a pure function of seed, path and count.
struct PlayLoss {
    private let threshold: UInt64
    private let seed: UInt64
    private var decided: UInt64 = 0
    private(set) var dropped: UInt64 = 0

    init(ratio: Double, seed: UInt64, path: String) {
        threshold = UInt64(ratio * Double(1 << 53))
        self.seed = fnv1a(path.utf8) ^ seed
    }

    /// Whether the next one is lost; counts it.
    mutating func dropsNext() -> Bool {
        guard threshold > 0 else { return false }
        decided += 1
        guard scrambled(seed, decided) >> 11 < threshold else { return false }
        dropped += 1
        return true
    }
}

final class PlayPacketPath {
    let target: Play.PacketTarget
    private var socket: UDPSocket
    private var loss: PlayLoss
    private var errors = PlaySendErrors()
    private(set) var packets: UInt64 = 0
    private(set) var bytes: UInt64 = 0

    init(_ target: Play.PacketTarget, drop: Double, seed: UInt64) throws(PlayFailure) {
        self.target = target
        loss = PlayLoss(ratio: drop, seed: seed, path: target.text)
        do throws(SystemError) {
            socket = try UDPSocket(sendingThrough: target.interface)
        } catch {
            throw PlayFailure(error, for: "--\(target.option) \(target.text)")
        }
    }

    /// Sends a packet, or loses it on purpose. What cannot be sent is counted and said.
    func send(_ packet: [UInt8], at now: Instant) {
        guard !loss.dropsNext() else { return }
        do throws(SystemError) {
            guard try socket.send(packet, to: target.endpoint) else {
                return failed(EAGAIN, at: now)
            }
            packets += 1
            bytes += UInt64(packet.count)
        } catch {
            failed(error.number, at: now)
        }
    }

    /// An interface that was made anew has another index, which only a new socket learns.
    private func failed(_ number: Int32, at now: Instant) {
        errors.add(number, on: "--\(target.option) \(target.text)", second: now.nanoseconds / 1_000_000_000)
        guard [ENODEV, ENXIO, EADDRNOTAVAIL].contains(number) else { return }
        if let renewed = try? UDPSocket(sendingThrough: target.interface) { socket = renewed }
    }

    var summary: PlayPathSummary {
        PlayPathSummary(
            path: "\(target.option) \(target.text)", sent: packets, bytes: bytes, dropped: loss.dropped,
            errors: errors.counts)
    }
}
