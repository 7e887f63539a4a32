// What is known of the closed segments of each journal, for the desks that have them read. One thread reads, and a job
// finds there what the one before it left.
import JournalFiles
import Reactor

final class SegmentBook {
    /// What is known of one channel's. Only jobs of the one thread open it.
    final class Page: Sendable {
        private let left = Deposit<SegmentSummaries>()

        func with<Result>(_ body: (inout SegmentSummaries) -> Result) -> Result {
            var summaries = left.take() ?? SegmentSummaries()
            defer { left.leave(summaries) }
            return body(&summaries)
        }
    }

    private var pages: [ChannelFolder: Page] = [:]

    func page(of folder: ChannelFolder) -> Page {
        if let page = pages[folder] { return page }
        let page = Page()
        pages[folder] = page
        return page
    }
}
