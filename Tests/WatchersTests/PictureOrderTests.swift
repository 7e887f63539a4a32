// Pictures of the network, and what is told while they are taken.
import Basics
import Testing

@testable import Watchers

struct PictureOrderTests {
    private func route(_ prefix: UInt8) -> RouteNetlinkMessage {
        let hop = RouteMessage.Hop(index: 3, gateway: .v4(.loopback))
        return .route(
            RouteMessage(destination: .v4(.any), prefixLength: prefix, metric: 0, hops: [hop]))
    }

    private func asked() -> PictureOrder {
        var order = PictureOrder()
        #expect(order.wanted() == true)
        order.asked()
        return order
    }

    @Test func `a picture that nothing overtook is told, with the news before it in it`() {
        var order = PictureOrder()
        order.heard(route(0))
        #expect(order.wanted() == true)
        order.asked()
        #expect(order.arrived() == .tell(then: []))
    }

    @Test func `routes other than default ones overtake no picture: they are told again after it`() {
        var order = asked()
        let news: [RouteNetlinkMessage] = [route(24), route(16)]
        for message in news { order.heard(message) }
        #expect(order.arrived() == .tell(then: news))
        order.asked()
        #expect(order.arrived() == .tell(then: []))
    }

    @Test func `a default route overtakes a picture, and so do more other routes than are kept`() {
        var order = asked()
        order.heard(route(24))
        order.heard(route(0))
        order.heard(route(24))
        #expect(order.arrived() == .askAgain)
        order.asked()
        for _ in 0...PictureOrder.mostRoutes { order.heard(route(24)) }
        #expect(order.arrived() == .askAgain)
        order.asked()
        #expect(order.arrived() == .tell(then: []))
    }

    @Test func `one that is wanted while another is taken is asked for then, and not for ever`() {
        var order = asked()
        for _ in 0..<PictureOrder.mostRepeats {
            #expect(order.wanted() == false)
            #expect(order.arrived() == .askAgain)
            order.asked()
        }
        order.heard(route(24))
        #expect(order.wanted() == false)
        #expect(order.arrived() == .tell(then: []))
    }

    @Test func `after one that could not be taken another is asked for`() {
        var order = asked()
        order.failed()
        #expect(order.wanted() == true)
    }
}
