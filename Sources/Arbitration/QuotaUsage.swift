// What a feed has used of its venue's limits of late. It outlives the feed, as when a reload changes an option: the venue
// goes on counting. Limits are none of it: those in force are the new options'.
public import Basics

/// What was used, by whom the limits hold for.
public struct QuotaUsage: Sendable {
    /// When the re-requests of the last second were sent, by channel.
    public var requests: [UInt16: [Instant]]
    /// What all re-request servers together were asked for; `nil`: only each channel's requests are limited.
    public var servers: RequestQuota?
    /// What was subscribed, by the path's name.
    public var subscriptions: [String: SubscriptionUsage]

    public init(
        requests: [UInt16: [Instant]] = [:], servers: RequestQuota? = nil,
        subscriptions: [String: SubscriptionUsage] = [:]
    ) {
        self.requests = requests
        self.servers = servers
        self.subscriptions = subscriptions
    }
}
