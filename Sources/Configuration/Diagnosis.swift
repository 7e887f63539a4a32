// Collecting what is wrong while a file is read, so that its owner sees everything at once.

/// The problems of one file, as they are found.
final class Diagnosis {
    let lines: KeyLines
    /// Every key path that the file may hold, for hints where a key belongs.
    let known: [String]
    private(set) var problems: [ConfigurationProblem] = []

    init(lines: KeyLines, known: [String]) {
        self.lines = lines
        self.known = known
    }

    func add(_ keyPath: String, _ value: String?, _ advice: String) {
        let shown = Setting.printable(keyPath, 120)
        let line = keyPath.isEmpty ? nil : lines.line(of: keyPath)
        problems.append(ConfigurationProblem(line: line, keyPath: shown, value: value, advice: advice))
    }

    /// By line, then by key.
    var sorted: [ConfigurationProblem] {
        problems.sorted { ($0.line ?? 0, $0.keyPath) < ($1.line ?? 0, $1.keyPath) }
    }
}

/// A place in the file: where a value stands and where its problems go.
struct Place {
    let keyPath: String
    let diagnosis: Diagnosis

    /// The place of a key of the table that stands here.
    func key(_ name: String) -> Place {
        Place(keyPath: keyPath.isEmpty ? name : keyPath + "." + name, diagnosis: diagnosis)
    }

    /// The place of an item of the list that stands here.
    func item(_ index: Int) -> Place { Place(keyPath: "\(keyPath)[\(index)]", diagnosis: diagnosis) }

    /// Refuses a value.
    func refuse(_ setting: Setting, _ advice: String) { diagnosis.add(keyPath, setting.spelled, advice) }

    /// Refuses what stands here for a reason that no single value shows.
    func refuse(_ advice: String) { diagnosis.add(keyPath, nil, advice) }

    /// Whether the values of these keys, here, were taken: what was refused once needs no second complaint.
    func accepted(_ names: String...) -> Bool {
        names.allSatisfy { name in
            let path = key(name).keyPath
            return !diagnosis.problems.contains { $0.keyPath == path || $0.keyPath.hasPrefix(path + "[") }
        }
    }
}
