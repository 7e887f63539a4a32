// A generated ITCH 5.0 day: a system event, a stock directory, then orders without end. Message n is a pure
// function of the seed and n, so two servers send the same, and a reader can tell what it should have seen.
public import Basics

/// Generates an ITCH 5.0 stream.
///
/// - Message 1 is `S` with code `O`; messages 2 to N + 1 are `R`, one for each of the N symbols `HF0001` …
///   with locates from 1.
/// - Then every message concerns one instrument. The first 16 are busy: every second message goes to them
///   in turn, the others to the rest in turn.
/// - The order reference (offset 11) is the locate << 40 | the instrument's own count from 1: an independent
///   reader finds each instrument's losses by it.
/// - With `directoryEvery`, `R` messages are woven into the stream evenly, so that any stretch of that many
///   messages repeats the whole directory.
public struct SyntheticITCH: Sendable {
    /// How many instruments are busy.
    public static let busy: UInt64 = 16
    /// The most symbols: locates have 16 bits.
    public static let mostSymbols = 65_535

    public let symbols: Int
    public let seed: UInt64
    public let schedule: StreamSchedule
    /// Messages in which the directory is repeated once; 0: never.
    public let directoryEvery: UInt64
    private let start: WallTime
    /// Nanoseconds from midnight (UTC) to the start.
    private let startOfDay: UInt64

    /// - Parameters:
    ///   - start: when message 1 is due.
    ///   - directoryEvery: 0, or at least twice `symbols`, in messages.
    /// - Precondition: `symbols` is from 1 to 65,535.
    public init(symbols: Int, seed: UInt64, rate: UInt64, start: WallTime, directoryEvery: UInt64 = 0) {
        precondition((1...SyntheticITCH.mostSymbols).contains(symbols), "locates have 16 bits")
        precondition(directoryEvery == 0 || directoryEvery >= 2 * UInt64(symbols), "room for orders")
        self.symbols = symbols
        self.seed = seed
        self.directoryEvery = directoryEvery
        self.start = start
        schedule = StreamSchedule(rate: rate)
        let day = start.nanoseconds.flooredQuotient(by: 86_400_000_000_000)
        startOfDay = UInt64(start.nanoseconds - day * 86_400_000_000_000)
    }

    /// When message `number` is due.
    func time(of number: UInt64) -> WallTime { start + schedule.due(number) }

    /// The symbol of a locate: `HF0001` for 1.
    public static func symbol(ofLocate locate: UInt16) -> ITCHSymbol {
        ITCHSymbol("HF" + padded(Int64(locate), 4))
    }

    /// What message `number` is about.
    enum Content {
        case start
        case directory(locate: UInt16)
        /// An instrument's message with its own count.
        case order(locate: UInt16, count: UInt64)
    }

    func content(of number: UInt64) -> Content {
        let directory = UInt64(symbols)
        guard number > 1 else { return .start }
        guard number > directory + 1 else { return .directory(locate: UInt16(number - 1)) }
        let slot = number - directory - 2
        let repeats = directoryMessages(before: slot)
        if directoryMessages(before: slot + 1) > repeats {
            return .directory(locate: UInt16(repeats % directory + 1))
        }
        return order(slot - repeats)
    }

    /// How many of the first `slots` messages behind the directory repeat it.
    private func directoryMessages(before slots: UInt64) -> UInt64 {
        guard directoryEvery > 0 else { return 0 }
        let symbols = UInt64(self.symbols)
        return slots / directoryEvery * symbols + slots % directoryEvery * symbols / directoryEvery
    }

    private func order(_ index: UInt64) -> Content {
        let all = UInt64(symbols)
        guard all > SyntheticITCH.busy else {
            return .order(locate: UInt16(index % all + 1), count: index / all + 1)
        }
        let (turn, first, many) =
            index % 2 == 1
            ? (index / 2, 1, SyntheticITCH.busy)
            : (index / 2, SyntheticITCH.busy + 1, all - SyntheticITCH.busy)
        return .order(locate: UInt16(turn % many + first), count: turn / many + 1)
    }

    /// How many of the first `number` messages concern a locate, 0 being those that concern none.
    public func messages(ofLocate locate: UInt16, through number: UInt64) -> UInt64 {
        let all = UInt64(symbols)
        guard locate > 0, UInt64(locate) <= all else { return locate == 0 ? min(number, 1) : 0 }
        guard number > all + 1 else { return number > UInt64(locate) ? 1 : 0 }
        let slots = number - all - 1
        let repeats = directoryMessages(before: slots)
        return 1 + (repeats + all - UInt64(locate)) / all
            + orders(ofLocate: UInt64(locate), before: slots - repeats)
    }

    /// How many of the first `count` orders are for a locate.
    private func orders(ofLocate locate: UInt64, before count: UInt64) -> UInt64 {
        let all = UInt64(symbols)
        guard all > SyntheticITCH.busy else { return (count + all - locate) / all }
        guard locate > SyntheticITCH.busy else {
            return (count / 2 + SyntheticITCH.busy - locate) / SyntheticITCH.busy
        }
        return ((count + 1) / 2 + all - locate) / (all - SyntheticITCH.busy)
    }

    /// Appends message `number`, from 1, to `writer`.
    /// - Returns: the locate that it concerns; 0: none.
    @discardableResult
    public func write(_ number: UInt64, into writer: inout ByteWriter) -> UInt16 {
        let time = startOfDay + UInt64(schedule.due(number).nanoseconds)
        var stamp = ITCH50Stamp(locate: 0, timestamp: time % 86_400_000_000_000)
        let body: ITCH50Body
        switch content(of: number) {
        case .start: body = .systemEvent(code: UInt8(ascii: "O"))
        case .directory(let locate):
            stamp.locate = locate
            body = .stockDirectory(symbol: SyntheticITCH.symbol(ofLocate: locate))
        case .order(let locate, let count):
            stamp.locate = locate
            body = order(locate, count)
        }
        body.write(stamp, into: &writer)
        return stamp.locate
    }

    /// Three in four are new orders.
    private func order(_ locate: UInt16, _ count: UInt64) -> ITCH50Body {
        let reference = UInt64(locate) << 40 | count & 0xFF_FFFF_FFFF
        let random = scrambled(seed, reference)
        let side = random & 0x100 == 0 ? ITCHSide.buy : .sell
        let shares = 100 * UInt32(random >> 16 & 0x0F) + 100
        let price = 10_000 * (20 + UInt32(locate % 480)) + 100 * UInt32(random >> 24 & 0x7F)
        switch random & 0x0F {
        case 0: return .orderExecuted(reference: reference, shares: shares, match: count)
        case 1: return .orderCancel(reference: reference, shares: shares)
        case 2: return .orderDelete(reference: reference)
        case 3:
            return .trade(
                reference: reference, side: side, shares: shares,
                symbol: SyntheticITCH.symbol(ofLocate: locate), price: price, match: count)
        default:
            return .addOrder(
                reference: reference, side: side, shares: shares,
                symbol: SyntheticITCH.symbol(ofLocate: locate), price: price)
        }
    }
}
