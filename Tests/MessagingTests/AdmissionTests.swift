// The dialogue of ZAP (RFC 27): a request's frames in, a verdict's out.
import Basics
import Testing
import Wire

@testable import Messaging

@Suite struct AdmissionTests {
    private static let key = PublicKey(bytes: (0..<32).map { UInt8($0) })
    private static let other = PublicKey(bytes: (0..<32).map { UInt8($0 + 1) })

    private let key: PublicKey
    private let other: PublicKey
    private var admission: Admission

    init() throws {
        key = try #require(Self.key)
        other = try #require(Self.other)
        admission = Admission(allowed: AllowList([AllowedClient(name: "desk", key: key)]))
    }

    private func request(
        version: String = "1.0", domain: String = "publish", address: String = "10.0.0.7",
        mechanism: String = "CURVE", credentials: [[UInt8]]
    ) -> [[UInt8]] {
        let texts = [version, "1", domain, address, "", mechanism].map { Array($0.utf8) }
        return [[0, 1, 2, 3, 4], []] + texts + credentials
    }

    private func reply(_ code: String, _ text: String, user: String = "") -> Admission.Action {
        let texts = ["1.0", "1", code, text, user, ""].map { Array($0.utf8) }
        return .reply([[0, 1, 2, 3, 4], []] + texts)
    }

    @Test mutating func `a client on the list is let in, and its key is its user`() {
        let actions = admission.received(request(credentials: [key.bytes]))
        let address = IPv4Address("10.0.0.7")
        #expect(
            actions == [.admitted(.publish, address: address), reply("200", "OK", user: key.description)])
        #expect(admission.admitted == 1)
    }

    @Test mutating func `our own handshakes are judged by the same list, and counted with libzmq's`() {
        #expect(admission.judge(key)?.name == "desk" && admission.judge(other) == nil)
        _ = admission.received(request(credentials: [other.bytes]))
        #expect(admission.admitted == 1 && admission.refused == 2)
    }

    @Test mutating func `a subscriber that is not on the list may try again`() {
        for service in [Service.publish, .marketData] {
            let actions = admission.received(request(domain: service.rawValue, credentials: [other.bytes]))
            let address = IPv4Address("10.0.0.7")
            #expect(
                actions == [.refused(service, address: address, other), reply("300", "not on the list")])
        }
        #expect(admission.refused == 2)
    }

    @Test mutating func `who asks and is not on the list is told at once`() {
        let actions = admission.received(request(domain: "request", credentials: [other.bytes]))
        #expect(actions.last == reply("400", "not on the list"))
    }

    @Test mutating func `another list holds from the next request on`() {
        admission.allowed = AllowList([AllowedClient(name: "new", key: other)])
        #expect(admission.received(request(credentials: [key.bytes])).last == reply("300", "not on the list"))
        #expect(admission.received(request(credentials: [other.bytes])).count == 2)
        #expect(admission.admitted == 1 && admission.refused == 1)
    }

    @Test mutating func `what is no CURVE request of ours is answered with an error and counted`() {
        let wrong = [
            request(version: "2.0", credentials: [key.bytes]),
            request(domain: "", credentials: [key.bytes]),
            request(domain: "elsewhere", credentials: [key.bytes]),
            request(mechanism: "NULL", credentials: []),
            request(mechanism: "PLAIN", credentials: [Array("name".utf8), Array("word".utf8)]),
            request(mechanism: "NULL", credentials: [key.bytes]),
            request(credentials: []),
            request(credentials: [key.bytes, key.bytes]),
            request(credentials: [Array(key.bytes.dropLast())]),
            request(credentials: [Array(key.description.utf8)]),
        ]
        for frames in wrong {
            #expect(admission.received(frames) == [reply("500", "not a CURVE request of ours")])
        }
        #expect(admission.malformed == UInt64(wrong.count))
        #expect(admission.admitted == 0 && admission.refused == 0)
    }

    @Test mutating func `the shortest messages are answered, or have nobody to answer to`() {
        #expect(admission.received([]) == [])
        #expect(admission.received([[1]]) == [])
        #expect(admission.received([[], [1]]) == [])
        let version = Array("1.0".utf8)
        let error = [version, [], Array("500".utf8), Array("not a CURVE request of ours".utf8), [], []]
        #expect(admission.received([[9], []]) == [.reply([[9], []] + error)])
        #expect(admission.received([[9], [], version]) == [.reply([[9], []] + error)])
        #expect(admission.malformed == 5)
    }

    @Test mutating func `an address that libzmq does not know is no reason to refuse`() {
        let actions = admission.received(request(address: "", credentials: [key.bytes]))
        #expect(actions.first == .admitted(.publish, address: nil))
    }
}
