// holdfast-gateway: reads its configuration, opens the gateway on the event loop, and does what systemd and
// signals ask of it.
Daemon.main()
