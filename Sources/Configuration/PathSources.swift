// How a path of a feed comes in, where there is a choice: by UDP, by TCP with a login (SoupBinTCP numbers messages
// as MoldUDP64 does, so that one feed can have both), or from a capture, to try a configuration.
internal import Basics
internal import Wire

/// How fast a capture is played.
public enum CapturePace: String, Hashable, Sendable, CaseIterable {
    case recorded
    case flatOut = "flat-out"
}

extension FeedPathOptions {
    /// It is a connection with a login, as far as can be told.
    var isConnection: Bool { group == nil && file == nil && endpoint != nil }
}

extension Section where Options == FeedOptions {
    /// Each path of a feed that comes by UDP, or over SoupBinTCP.
    static func checkNumberedPaths(_ feed: FeedOptions, at place: Place) {
        let takesLogins = feed.feedProtocol.keepsMoldNumbers
        for (index, path) in feed.paths.enumerated() {
            let here = place.key("path").item(index)
            let earlier = feed.paths[..<index]
            checkClear(path, of: feed.feedProtocol, at: here)
            if takesLogins,
                path.isConnection
                    || (path.group == nil && feed.feedProtocol == .soupBinTCP && path.file == nil)
            {
                checkConnection(path, earlier, at: here)
            } else {
                checkDatagrams(path, earlier, of: feed.feedProtocol, at: here)
            }
        }
    }

    private static func checkClear(
        _ path: FeedPathOptions, of feedProtocol: FeedOptions.FeedProtocol, at place: Place
    ) {
        let name = feedProtocol.rawValue
        if path.serverKey != nil {
            place.key("server_key").refuse("is for holdfast and zeromq; \(name) has no encryption")
        }
        if path.plaintext {
            place.key("plaintext").refuse("is for holdfast and zeromq; \(name) is always in the clear")
        }
    }

    private static func checkDatagrams(
        _ path: FeedPathOptions, _ earlier: ArraySlice<FeedPathOptions>,
        of feedProtocol: FeedOptions.FeedProtocol,
        at place: Place
    ) {
        let name = feedProtocol.rawValue
        if path.endpoint != nil {
            place.key("endpoint").refuse(
                feedProtocol.keepsMoldNumbers
                    ? "and group, or file: one of them only"
                    : "is for holdfast, soupbintcp and zeromq; \(name) needs group")
        }
        for (key, value) in [("login_file", path.loginFile), ("local_address", path.localAddress)]
        where value != nil {
            place.key(key).refuse("is for soupbintcp; datagrams need none")
        }
        if path.pace != .recorded, path.file == nil {
            place.key("pace").refuse("is for a path with a file")
        }
        for (key, value) in [("interface", path.interface), ("source", path.source)]
        where value != nil && path.file != nil {
            place.key(key).refuse("is for lines; of a capture all is taken that went to group")
        }
        if path.groups.isEmpty, path.file == nil, place.accepted("group", "file") {
            place.key("group").refuse("is missing; \(name) needs it, \"239.1.1.1:30001\"")
        }
        if path.groups.count > 1, !feedProtocol.namesChannels {
            place.key("group").refuse("a path of \(name) is one group: give each channel a feed")
        }
        checkGroups(of: path, besides: earlier, at: place)
    }

    private static func checkGroups(
        of path: FeedPathOptions, besides others: ArraySlice<FeedPathOptions>, at place: Place
    ) {
        for group in path.groups {
            if path.source != nil, IPv4Endpoint(group)?.address.isMulticast == false {
                place.key("source").refuse("needs a multicast group, and \(group) is a host's address")
            }
            let twin = others.first {
                $0.groups.contains(group) && $0.interface == path.interface && $0.source == path.source
                    && $0.file == path.file
            }
            if let twin { place.key("group").refuse(.text(group), "is the very line of path \(twin.name)") }
        }
    }

    private static func checkConnection(
        _ path: FeedPathOptions, _ earlier: ArraySlice<FeedPathOptions>, at place: Place
    ) {
        if path.source != nil {
            place.key("source").refuse("is for multicast; the own address of a connection is local_address")
        }
        if path.pace != .recorded { place.key("pace").refuse("is for a path with a file") }
        if path.loginFile == nil, place.accepted("login_file") {
            place.key("login_file").refuse(
                "is missing; soupbintcp logs in with the user and password in it")
        }
        guard let endpoint = path.endpoint else {
            if place.accepted("endpoint") {
                place.key("endpoint").refuse(
                    "is missing; soupbintcp needs it, \"tcp://10.0.0.1:17000\"")
            }
            return
        }
        guard endpoint.hasPrefix("tcp://") else {
            return place.key("endpoint").refuse(
                .text(endpoint), "must be a TCP address, \"tcp://10.0.0.1:17000\"")
        }
        let twin = earlier.first {
            $0.endpoint == endpoint && $0.interface == path.interface && $0.localAddress == path.localAddress
        }
        if let twin {
            place.key("endpoint").refuse(.text(endpoint), "is the very line of path \(twin.name)")
        }
    }
}
