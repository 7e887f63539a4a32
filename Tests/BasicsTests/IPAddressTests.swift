// IPv6 addresses as text, in and out.
import Basics
import Testing

@Suite struct IPAddressTests {
    @Test(arguments: [
        ("2001:db8::1", "2001:db8::1"), ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"), ("::", "::"), ("::1", "::1"),
        ("1::", "1::"), ("fe80::1", "fe80::1"), ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"), ("::ffff:192.0.2.1", "::ffff:c000:201"),
        ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("1:2:3:4:5:6:192.0.2.1", "1:2:3:4:5:6:c000:201"),
    ])
    func `an address is read and written as RFC 5952 says`(text: String, written: String) throws {
        let address = try #require(IPv6Address(text))
        #expect(address.description == written)
        #expect(IPv6Address(written) == address)
        #expect(IPv6Address(bytes: address.bytes) == address)
    }

    @Test(arguments: [
        "", ":", ":::", "1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "g::", "+1::",
        "1::%eth0",
        "192.0.2.1::", "::192.0.2.1:1", "1:2:3:4:5:6:7::8", " ::1", "::192.0.2.256", "[::1]",
    ])
    func `what is no address is refused`(text: String) {
        #expect(IPv6Address(text) == nil)
    }

    @Test func `addresses of hosts are told from those of none and of many`() {
        #expect(IPAddress(host: "2001:db8::1") == .v6(IPv6Address(high: 0x2001_0DB8_0000_0000, low: 1)))
        #expect(IPAddress(host: "192.0.2.1") == .v4(IPv4Address(number: 0xC000_0201)))
        for text in ["::", "ff02::1", "::ffff:192.0.2.1", "224.0.0.1", "0.0.0.0", "192.0.2.01"] {
            #expect(IPAddress(host: text) == nil, "\(text)")
        }
        #expect(IPAddress("fe80::1")?.isLinkLocal == true)
        #expect(IPAddress("fec0::1")?.isLinkLocal == false)
        #expect(IPAddress("febf::1")?.isLinkLocal == true)
    }

    @Test func `addresses have an order`() throws {
        let texts = ["10.0.0.1", "192.0.2.1", "2001:db8::1", "2001:db8:1::"]
        let addresses = try texts.map { try #require(IPAddress($0)) }
        #expect(addresses.reversed().sorted() == addresses)
    }
}
