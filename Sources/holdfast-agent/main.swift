// holdfast-agent: watches one host. Its life is the module Daemon's, what it does the module Watchers'.
import Daemon
import Glibc

exit(DaemonLife<AgentBody>.main(Array(CommandLine.arguments.dropFirst())))
