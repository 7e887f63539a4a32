// The watchers of the agent: a new one is a folder and a line here.

/// All kinds of watcher, in the order in which they start: causes before what they explain.
public enum Catalog {
    public static var watchers: [any Watcher.Type] {
        [
            UPSWatcher.self,
            DiskWatcher.self,
            NICWatcher.self,
            PathWatcher.self,
            UnitWatcher.self,
            ProcessWatcher.self,
        ]
    }
}
