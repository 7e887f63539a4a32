// The generated day in the words of other venues: message n concerns the instrument that ITCH message n does. Each is
// as pure a function of the seed and n.
public import Basics

/// The messages of a generated stream.
public enum SyntheticDialect: String, Hashable, Sendable, CaseIterable {
    case itch
    /// An order lives for four messages of its instrument: added, executed in part, reduced, deleted. Without times:
    /// PITCH's time messages would have numbers of their own.
    case pitch
    /// Price level updates.
    case deep
    /// Book updates; security ids are locates.
    case mdp3
}

extension SyntheticITCH {
    /// Appends message `number`, from 1, to `writer`.
    /// - Returns: the locate that it concerns; 0: none.
    @discardableResult
    public func write(_ number: UInt64, as dialect: SyntheticDialect, into writer: inout ByteWriter) -> UInt16
    {
        let content = content(of: number)
        switch dialect {
        case .itch: return write(number, into: &writer)
        case .pitch: SyntheticITCH.pitch(content, into: &writer)
        case .deep: deep(content, at: time(of: number), into: &writer)
        case .mdp3: mdp3(content, at: time(of: number), into: &writer)
        }
        switch content {
        case .start: return 0
        case .directory(let locate), .order(let locate, _): return locate
        }
    }

    // MARK: - PITCH

    /// A length, a type and a time offset of 0.
    private static func pitch(_ type: UInt8, _ length: UInt8, into writer: inout ByteWriter) {
        writer.littleEndian(length)
        writer.littleEndian(type)
        writer.littleEndian(UInt32(0))
    }

    private static func pitch(_ content: Content, into writer: inout ByteWriter) {
        switch content {
        case .start: pitch(PITCHPacket.unitClear, 6, into: &writer)
        case .directory(let locate):
            pitch(0x31, 18, into: &writer)
            writer.padded(symbol(ofLocate: locate).description, to: 8)
            writer.append("T0  ".utf8)
        case .order(let locate, let count):
            let order = UInt64(locate) << 40 | (count - 1) / 4 + 1
            switch (count - 1) % 4 {
            case 0: add(order, locate, into: &writer)
            case 1:
                pitch(0x23, 26, into: &writer)
                writer.littleEndian(order)
                writer.littleEndian(UInt32(40))
                writer.littleEndian(count)
            case 2:
                pitch(0x26, 16, into: &writer)
                writer.littleEndian(order)
                writer.littleEndian(UInt16(10))
            default:
                pitch(0x29, 14, into: &writer)
                writer.littleEndian(order)
            }
        }
    }

    private static func add(_ order: UInt64, _ locate: UInt16, into writer: inout ByteWriter) {
        pitch(0x22, 26, into: &writer)
        writer.littleEndian(order)
        writer.append("B".utf8)
        writer.littleEndian(UInt16(100))
        writer.padded(symbol(ofLocate: locate).description, to: 6)
        writer.littleEndian(UInt16(2000 + locate % 480))
        writer.littleEndian(UInt8(1))
    }

    // MARK: - DEEP

    private func deep(_ content: Content, at time: WallTime, into writer: inout ByteWriter) {
        func head(_ type: String, _ flags: UInt8) {
            writer.append(type.utf8)
            writer.littleEndian(flags)
            writer.littleEndian(time.nanoseconds)
        }
        switch content {
        case .start: head("S", UInt8(ascii: "O"))
        case .directory(let locate):
            head("D", 0)
            writer.padded(SyntheticITCH.symbol(ofLocate: locate).description, to: 8)
            writer.littleEndian(UInt32(100))
            writer.littleEndian(Int64(200_000))
            writer.littleEndian(UInt8(1))
        case .order(let locate, let count):
            let random = scrambled(seed, UInt64(locate) << 40 | count)
            head(random & 0x100 == 0 ? "8" : "5", 1)
            writer.padded(SyntheticITCH.symbol(ofLocate: locate).description, to: 8)
            writer.littleEndian(UInt32(random >> 16 & 0x0F) * 100)
            writer.littleEndian(Int64(200_000 + 100 * (random >> 24 & 0x7F)))
        }
    }

    // MARK: - MDP 3.0

    /// A size and an SBE header of schema 1, version 9.
    private static func sbe(
        _ template: UInt16, block: UInt16, rest: UInt16, into writer: inout ByteWriter
    ) {
        for number in [10 + block + rest, block, template, 1, 9] { writer.littleEndian(number) }
    }

    private func mdp3(_ content: Content, at time: WallTime, into writer: inout ByteWriter) {
        switch content {
        case .start: SyntheticITCH.sbe(MDP3Header.heartbeat, block: 0, rest: 0, into: &writer)
        case .directory(let locate):
            // Security status: time, group, asset, id, date, status, halt reason, event, indicator.
            SyntheticITCH.sbe(30, block: 30, rest: 0, into: &writer)
            writer.littleEndian(time.nanoseconds)
            writer.padded("", to: 12)
            writer.littleEndian(Int32(locate))
            writer.append([0, 0, 17, 0, 0, 0x80])
        case .order(let locate, let count):
            let random = scrambled(seed, UInt64(locate) << 40 | count)
            // Book: time and indicator, one entry, no orders.
            SyntheticITCH.sbe(46, block: 11, rest: 3 + 32 + 8, into: &writer)
            writer.littleEndian(time.nanoseconds)
            writer.append([0x84, 0, 0, 32, 0, 1])
            writer.littleEndian(Int64(1_000_000_000 * (2000 + random >> 24 & 0x7F)))
            writer.littleEndian(Int32(truncatingIfNeeded: random >> 16 & 0x0F))
            writer.littleEndian(Int32(locate))
            writer.littleEndian(UInt32(truncatingIfNeeded: count))
            writer.littleEndian(Int32(1))
            writer.append([1, 1, random & 0x100 == 0 ? UInt8(ascii: "0") : UInt8(ascii: "1"), 0, 0, 0, 0, 0])
            writer.append([24, 0, 0, 0, 0, 0, 0, 0])
        }
    }
}
