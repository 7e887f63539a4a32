// Several UPSes under one host: with two power supplies on two UPSes, one may fail and the host lives on.
public import Wire

/// How many UPSes of a group must hold.
public struct UPSGroup: Hashable, Sendable {
    public let subject: Subject
    public let members: [Subject]
    /// So many must hold for the host to live.
    public let required: Int

    public init(_ subject: Subject, members: [Subject], required: Int) {
        self.subject = subject
        self.members = members
        self.required = required
    }

    /// The group's state by those of its members; one without a state is unknown.
    public func verdict(of statuses: [Subject: Status]) -> (status: Status, reason: String) {
        let all = members.map { statuses[$0] ?? .unknown }
        let holding = all.count { $0 == .ok || $0 == .warning }
        let unknown = all.count { $0 == .unknown }
        let onMains = all.count { $0 == .ok }
        let told = "\(holding) of \(members.count) hold, \(required) needed"
        if holding + unknown < required { return (.critical, told) }
        if holding < required { return (.unknown, told + ", \(unknown) unknown") }
        if onMains < members.count { return (.warning, told) }
        return (.ok, told)
    }
}
