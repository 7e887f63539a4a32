// holdfast-agent: watches one host. The command line is in Arguments.swift, the daemon's life in Daemon.swift,
// and the agent itself in the module Watchers.
import Glibc

exit(runAgent(arguments: Array(CommandLine.arguments.dropFirst())))
