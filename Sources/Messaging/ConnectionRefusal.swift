// Why a connection was refused, for the log.
import Basics
import Wire

/// Why a connection was refused.
enum ConnectionRefusal: Hashable, Sendable {
    case unknownKey(PublicKey)
    case otherServerKey
    case noCURVE
    /// It began no handshake of ZeroMQ.
    case notZeroMQ
    /// It left before the end of the handshake.
    case left
    /// It did not come to the end of the handshake in time.
    case tooSlow(Duration)
    /// So many others came while it had not come to the end of the handshake.
    case crowdedOut(Int)
    /// There are as many connections as there may be from beyond this host.
    case full(Int)
    /// There are as many as there may be of this host.
    case hostIsFull(Int)
}

extension ConnectionRefusal: CustomStringConvertible {
    /// For a person: "it has another server key than ours".
    var description: String {
        switch self {
        case .unknownKey(let key):
            "its key is not on the list; to let it in: holdfast authorize NAME '\(key)'"
        case .otherServerKey: "it has another server key than ours"
        case .noCURVE: "no CURVE"
        case .notZeroMQ: "it does not speak ZeroMQ's CURVE"
        case .left: "it left in the handshake, as one without CURVE does"
        case .tooSlow(let limit): "no handshake within \(limit)"
        case .crowdedOut(let count): "\(count) others came while its handshake lasted"
        case .full(let count): "there are \(count) connections already"
        case .hostIsFull(let count): "there are \(count) connections of this host already"
        }
    }

    /// Whom it was about, where no address is known.
    var whoIsNameless: String {
        switch self {
        case .hostIsFull: "a client of this host"
        case .unknownKey, .otherServerKey, .noCURVE, .notZeroMQ, .left, .tooSlow, .crowdedOut, .full:
            "an address that was gone"
        }
    }
}
