// What a client says to a server of ours, in the clear.
import Wire

@testable import ZMTP

enum Client {
    static let hello = ZMTPGreeting.encode(mechanism: "NULL", isServer: false)
    static func ready(_ type: String) -> [UInt8] {
        let metadata = ZMTPCommand.encode([("Socket-Type", type), ("Identity", "")])
        return ZMTPFrame.encode(ZMTPCommand.encode("READY", metadata), .command)
    }
    static func command(_ name: String, _ rest: [UInt8] = []) -> [UInt8] {
        ZMTPFrame.encode(ZMTPCommand.encode(name, rest), .command)
    }
}
