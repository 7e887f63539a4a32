// What the suites of this module share: reading a text into its refusals.
import Configuration
import Wire

/// The key of the shipped files' examples; its secret was thrown away.
let exampleKey = PublicKey("ctPe3&^xpm0MENSPH3l9O^EfB.Ym@.KnjD>[btBc")!

/// The problems of a text as an agent's file, one line each; empty if it is taken.
func agentProblems(_ text: String) -> [String] {
    do throws(ConfigurationError) {
        _ = try AgentFile.parse(text, name: "agent.toml")
        return []
    } catch {
        return error.description.split(separator: "\n").map(String.init)
    }
}

/// The problems of a text as a gateway's file, one line each; empty if it is taken.
func gatewayProblems(_ text: String) -> [String] {
    do throws(ConfigurationError) {
        _ = try GatewayFile.parse(text, name: "gateway.toml")
        return []
    } catch {
        return error.description.split(separator: "\n").map(String.init)
    }
}
