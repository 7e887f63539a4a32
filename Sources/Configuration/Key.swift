// A file's vocabulary as data: each section is a list of keys, each key knows its rule and where its value goes.
// From the same lists come the reading, the hints, and the proof that the shipped file documents every key.

/// Reads a value, or refuses it at its place and returns `nil`.
typealias Rule<T> = @Sendable (Setting, Place) -> T?

/// A key of a section that fills `Options`.
struct Key<Options>: Sendable {
    let name: String
    let isRequired: Bool
    /// The key paths of its values, itself or what stands below it: `isp[].name`.
    let paths: [String]
    let read: @Sendable (Setting, Place, inout Options) -> Void

    /// A single value.
    static func value<T>(
        _ name: String, _ target: any WritableKeyPath<Options, T> & Sendable, required: Bool = false,
        _ rule: @escaping Rule<T>
    ) -> Key {
        Key(name: name, isRequired: required, paths: [name]) { setting, place, options in
            if let value = rule(setting, place) { options[keyPath: target] = value }
        }
    }

    /// A single value without a default.
    static func value<T>(
        _ name: String, _ target: any WritableKeyPath<Options, T?> & Sendable, required: Bool = false,
        _ rule: @escaping Rule<T>
    ) -> Key {
        Key(name: name, isRequired: required, paths: [name]) { setting, place, options in
            if let value = rule(setting, place) { options[keyPath: target] = value }
        }
    }

    /// A table, `[name]`.
    static func table<Inner>(
        _ name: String, _ target: any WritableKeyPath<Options, Inner> & Sendable, _ section: Section<Inner>
    ) -> Key {
        Key(name: name, isRequired: false, paths: section.paths.map { name + "." + $0 }) {
            section.read($0, at: $1, into: &$2[keyPath: target])
        }
    }

    /// A list of tables, `[[name]]`. Each starts as `empty`; what cannot be built from it was refused.
    static func tables<Draft, Element>(
        _ name: String, _ target: any WritableKeyPath<Options, [Element]> & Sendable, upTo most: Int,
        _ section: Section<Draft>, empty: Draft, build: @escaping @Sendable (Draft, Place) -> Element?
    ) -> Key where Draft: Sendable {
        Key(name: name, isRequired: false, paths: section.paths.map { "\(name)[]." + $0 }) {
            setting, place, options in
            guard case .list(let items) = setting else {
                return place.refuse(setting, "write a section [[\(place.keyPath)]]")
            }
            guard items.count <= most else { return place.refuse("\(items.count) of them; at most \(most)") }
            for (index, item) in items.enumerated() {
                var draft = empty
                section.read(item, at: place.item(index), into: &draft)
                if let element = build(draft, place.item(index)) { options[keyPath: target].append(element) }
            }
        }
    }
}

/// A section of the file: its keys in the order in which they are read, and what must hold between them.
struct Section<Options>: Sendable {
    let keys: [Key<Options>]
    var check: @Sendable (Options, Place) -> Void = { _, _ in }

    var paths: [String] { keys.flatMap(\.paths) }

    /// The names of its keys themselves.
    var names: Set<String> { Set(keys.map(\.name)) }

    func read(_ setting: Setting, at place: Place, into options: inout Options) {
        guard case .table(let members) = setting else {
            return place.refuse(setting, "write a section [\(place.keyPath)] with its keys below")
        }
        for name in members.keys.sorted() where !keys.contains(where: { $0.name == name }) {
            place.key(name).refuse(hint(for: name, diagnosis: place.diagnosis))
        }
        for key in keys {
            if let value = members[key.name] {
                key.read(value, place.key(key.name), &options)
            } else if key.isRequired {
                place.key(key.name).refuse("is missing and has no default")
            }
        }
        check(options, place)
    }

    private func hint(for name: String, diagnosis: Diagnosis) -> String {
        let names = keys.map(\.name)
        if let near = nearest(to: name, among: names) { return "unknown key; did you mean \(near)?" }
        let elsewhere = diagnosis.known.first { $0.hasSuffix("." + name) }
        if let elsewhere { return "unknown key here; it belongs in \(header(of: elsewhere))" }
        return "unknown key; the keys here are \(names.joined(separator: ", "))"
    }

    /// `path.isp[].name` stands under `[[path.isp]]`.
    private func header(of path: String) -> String {
        let section = path.split(separator: ".").dropLast().joined(separator: ".")
        let isRepeated = section.hasSuffix("[]")
        let plain = String(section.split(separator: "[]").joined())
        return isRepeated ? "[[\(plain)]]" : "[\(plain)]"
    }
}
