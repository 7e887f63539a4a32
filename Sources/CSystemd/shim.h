// The door to libsystemd: sd-event, sd_notify, the journal and sd-bus.
#if !__has_include(<systemd/sd-event.h>)
#error "libsystemd's headers are missing: run `apt-get install libsystemd-dev`"
#endif
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>
#define SD_JOURNAL_SUPPRESS_LOCATION 1
#include <systemd/sd-journal.h>
