// Whether the picture of the network that was asked for still holds when it comes: what is told while it is taken may be
// in it, or not. A value.

/// The order of pictures and news.
struct PictureOrder {
    /// A picture that news overtook is asked for again this often; then it is taken as it is.
    static let mostRepeats = 5
    /// Routes that are told again after a picture; more of them overtake it.
    static let mostRoutes = 4096

    /// What becomes of a picture.
    enum Arrival: Hashable {
        case askAgain
        /// It is told, and after it these, which it may lack.
        case tell(then: [RouteNetlinkMessage])
    }

    private(set) var isAwaited = false
    private var isOvertaken = false
    private var routes: [RouteNetlinkMessage] = []
    private var repeats = 0

    /// A picture is wanted; returns whether to ask for it: one that is under way is too old.
    mutating func wanted() -> Bool {
        guard isAwaited else { return true }
        overtake()
        return false
    }

    private mutating func overtake() { (isOvertaken, routes) = (true, []) }

    /// A picture was asked for.
    mutating func asked() {
        (isAwaited, isOvertaken, routes) = (true, false, [])
    }

    /// The kernel told something. A router learns routes all the time, and each one says all there is to know of it.
    mutating func heard(_ message: RouteNetlinkMessage) {
        guard isAwaited, !isOvertaken else { return }
        guard message.isOtherRoute, routes.count < PictureOrder.mostRoutes else { return overtake() }
        routes.append(message)
    }

    /// The picture could not be taken.
    mutating func failed() { isAwaited = false }

    /// The picture has been taken.
    mutating func arrived() -> Arrival {
        isAwaited = false
        guard isOvertaken, repeats < PictureOrder.mostRepeats else {
            repeats = 0
            return .tell(then: routes)
        }
        repeats += 1
        return .askAgain
    }
}
