// FeedProtocols
