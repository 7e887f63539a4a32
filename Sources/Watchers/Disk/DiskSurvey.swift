// One look at all mounts and block devices: a read each of mountinfo, diskstats and mdstat, and of the error counts
// of ext4. It runs on a worker's thread; what did not change is not decoded again.
import Basics
import Configuration
import Linux
import Wire

/// What one look is to do.
struct DiskSurveyOrder: Sendable {
    var roots: FileRoots
    var choice: MountChoice
    /// Devices that are watched besides those under mounts.
    var devices: [String]
    /// The look before.
    var previous: DiskSurvey?
    /// The kernel would have told of a mount since then.
    var isUnchanged = false
}

/// What it found.
struct DiskSurvey: Sendable {
    /// Devices beyond this many are left out.
    static let mostDevices = 64

    /// A mount with what lies under it.
    struct Mount: Hashable, Sendable {
        var mount: WatchedMount
        /// The kernel's name of its device; `nil`: it has none.
        var device: String?
        /// It had a device, which is no longer there.
        var isDeviceGone = false
        /// The arrays and disks below, nearest first.
        var devices: [String] = []
        /// What the file system counts of its own errors.
        var errors: UInt64?
    }

    /// A watched disk or array.
    struct Device: Hashable, Sendable {
        /// `nil`: it is not there.
        var statistics: DiskStatistics?
        var array: MDArray?
        /// The disks below an array.
        var devices: [String] = []
    }

    var mounts: [Mount] = []
    var devices: [String: Device] = [:]
    /// Why the mounts could not be read; those of the look before stand.
    var mountsFailure: String?
    /// Why the devices could not be read.
    var trouble: String?
    /// Mounts and devices beyond the bounds.
    var leftOut = 0
    /// Lines that made no sense.
    var rejected = 0

    private var ownText: [UInt8] = []
    private var hostText: [UInt8]?
    private var choice: MountChoice?
    private var wanted: [String] = []
    private var chosen: [WatchedMount] = []
    private var blockNames: Set<String> = []
    private var arrayNames: [String] = []
}

extension DiskSurvey {
    /// Looks once.
    static func take(_ order: DiskSurveyOrder) -> DiskSurvey {
        var survey = DiskSurvey()
        (survey.choice, survey.wanted) = (order.choice, order.devices)
        survey.readMounts(order)
        let (statistics, arrays) = survey.readDevices(order)
        survey.place(order, statistics, arrays)
        survey.readErrors(order)
        return survey
    }

    private mutating func readMounts(_ order: DiskSurveyOrder) {
        let proc = order.roots.proc
        do throws(SystemError) {
            ownText = try Files.read("\(proc)/self/mountinfo", limit: 4 << 20)
        } catch {
            (mountsFailure, chosen) = (error.description, order.previous?.chosen ?? [])
            return
        }
        hostText = knownHostText(order) ?? (try? Files.read("\(proc)/1/mountinfo", limit: 4 << 20))
        if let previous = order.previous, previous.choice == order.choice, previous.ownText == ownText,
            previous.hostText == hostText
        {
            (chosen, leftOut, rejected) = (previous.chosen, previous.leftOut, previous.rejected)
            return
        }
        let own = MountInfo(ownText)
        // Most processes are in the same namespace as the first one.
        let host = hostText.map { $0 == ownText ? own : MountInfo($0) }
        let all = order.choice.chosen(own: own, host: host)
        chosen = Array(all.prefix(MountChoice.mostMounts))
        leftOut = all.count - chosen.count
        rejected = own.rejected + (host?.rejected ?? 0)
    }

    /// What the host's first process sees, where that is known without a look. What changes without a word, as a file
    /// system that turns read-only by itself, is in what we see, unless it is out of our sight.
    private func knownHostText(_ order: DiskSurveyOrder) -> [UInt8]? {
        guard order.isUnchanged, let previous = order.previous else { return nil }
        if previous.hostText == previous.ownText { return ownText }
        let isInSight = previous.chosen.allSatisfy { $0.path != nil }
        return previous.ownText == ownText && isInSight ? previous.hostText : nil
    }

    private mutating func readDevices(
        _ order: DiskSurveyOrder
    ) -> ([String: DiskStatistics]?, [String: MDArray]) {
        var arrays: [String: MDArray] = [:]
        // Without arrays there may be no such file.
        let text = (try? Files.read("\(order.roots.proc)/mdstat")) ?? []
        for array in MDArray.decode(text) { arrays[array.name] = array }
        do throws(SystemError) {
            let (statistics, rejected) = DiskStatistics.decode(
                try Files.read("\(order.roots.proc)/diskstats"))
            self.rejected += rejected
            return (statistics, arrays)
        } catch {
            trouble = error.description
            return (nil, arrays)
        }
    }

    /// Which device lies under what. Looked up again only after a change of mounts, devices or arrays.
    private mutating func place(
        _ order: DiskSurveyOrder, _ statistics: [String: DiskStatistics]?, _ arrays: [String: MDArray]
    ) {
        blockNames = statistics.map { Set($0.keys) } ?? order.previous?.blockNames ?? []
        arrayNames = arrays.keys.sorted()
        let block = BlockDevices(sys: order.roots.sys)
        var below: [String: [String]] = [:]
        if let previous = order.previous, previous.chosen == chosen, previous.blockNames == blockNames,
            previous.arrayNames == arrayNames, previous.wanted == order.devices
        {
            mounts = previous.mounts
            for (name, device) in previous.devices { below[name] = device.devices }
        } else {
            mounts = chosen.map { mount(for: $0, order.previous, block) }
            let wanted = order.devices.map { block.whole($0) } + arrayNames + mounts.flatMap(\.devices)
            for name in wanted where below[name] == nil {
                let others = block.devices(below: name).filter { $0 != name }
                below[name] = others
                for other in others where below[other] == nil { below[other] = [] }
            }
        }
        for name in below.keys.sorted() {
            guard devices.count < DiskSurvey.mostDevices else {
                leftOut += 1
                continue
            }
            devices[name] = Device(
                statistics: statistics?[name], array: arrays[name], devices: below[name] ?? [])
        }
    }

    private func mount(for mount: WatchedMount, _ previous: DiskSurvey?, _ block: BlockDevices) -> Mount {
        let before = previous?.mounts.first { $0.mount.name == mount.name && $0.mount.device == mount.device }
        if let name = block.name(of: mount) {
            return Mount(mount: mount, device: name, devices: block.devices(below: name))
        }
        guard let before, let device = before.device else { return Mount(mount: mount) }
        // What was there before, and is not any more.
        return Mount(mount: mount, device: device, isDeviceGone: true, devices: before.devices)
    }

    private mutating func readErrors(_ order: DiskSurveyOrder) {
        for index in mounts.indices where mounts[index].mount.type == "ext4" {
            guard let device = mounts[index].device else { continue }
            let path = "\(order.roots.sys)/fs/ext4/\(device)/errors_count"
            mounts[index].errors = (try? Files.text(path, limit: 64)).flatMap { UInt64($0) }
        }
    }
}
