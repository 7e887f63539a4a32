// The door to libpcap. Its own headers stay behind the door: they bring system headers of which Swift would no longer
// know to which module they belong.
#pragma once
#include <stdint.h>

/// An open capture.
struct cpcap;

/// One captured packet; the bytes are valid until the next call.
struct cpcap_packet {
    const uint8_t *bytes;
    /// How many bytes were captured, and the length on the wire.
    uint32_t captured, length;
    /// Since 1970.
    int64_t nanoseconds;
};

/// Room for an error's words.
enum { CPCAP_ERROR_BYTES = 512 };

/// Captures what comes in through an interface and passes a filter of pcap-filter(7), without waiting for it.
/// NULL: `error` says why.
struct cpcap *cpcap_open(const char *interface, const char *filter, int captured_bytes, int hold_ms, int buffer_bytes,
                         char *error);
void cpcap_close(struct cpcap *capture);
/// To be waited for.
int cpcap_descriptor(struct cpcap *capture);
/// The link layer's type, as capture files name it.
int cpcap_link_type(struct cpcap *capture);
/// 1: a packet, 0: none now, below 0: `cpcap_error` says why.
int cpcap_next(struct cpcap *capture, struct cpcap_packet *packet);
const char *cpcap_error(struct cpcap *capture);
/// Packets dropped for want of room; below 0: not known.
int64_t cpcap_dropped(struct cpcap *capture);
