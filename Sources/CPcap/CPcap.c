// libpcap's calls in the order in which a capture needs them.
#if !__has_include(<pcap/pcap.h>)
#error "libpcap's headers are missing: run `apt-get install libpcap-dev`"
#endif
#include "CPcap.h"
#include <pcap/pcap.h>
#include <stdio.h>

static pcap_t *handle(struct cpcap *capture) { return (pcap_t *)capture; }

static void explain(pcap_t *pcap, int code, char *error) {
    const char *words = pcap_geterr(pcap);
    snprintf(error, CPCAP_ERROR_BYTES, "%s", words[0] ? words : pcap_statustostr(code));
}

static int prepare(pcap_t *pcap, const char *filter, char *error) {
    char words[PCAP_ERRBUF_SIZE] = "";
    struct bpf_program program;
    if (pcap_setnonblock(pcap, 1, words) != 0) {
        snprintf(error, CPCAP_ERROR_BYTES, "%s", words);
        return -1;
    }
    if (pcap_compile(pcap, &program, filter, 1, PCAP_NETMASK_UNKNOWN) != 0) {
        explain(pcap, PCAP_ERROR, error);
        return -1;
    }
    int code = pcap_setfilter(pcap, &program);
    pcap_freecode(&program);
    if (code == 0) code = pcap_setdirection(pcap, PCAP_D_IN);
    if (code != 0) explain(pcap, code, error);
    return code;
}

struct cpcap *cpcap_open(const char *interface, const char *filter, int captured_bytes, int hold_ms, int buffer_bytes,
                         char *error) {
    char words[PCAP_ERRBUF_SIZE] = "";
    pcap_t *pcap = pcap_create(interface, words);
    if (!pcap) {
        snprintf(error, CPCAP_ERROR_BYTES, "%s", words);
        return NULL;
    }
    pcap_set_snaplen(pcap, captured_bytes);
    pcap_set_promisc(pcap, 0);
    pcap_set_timeout(pcap, hold_ms);
    pcap_set_buffer_size(pcap, buffer_bytes);
    // Where nanoseconds are not offered, libpcap keeps microseconds.
    pcap_set_tstamp_precision(pcap, PCAP_TSTAMP_PRECISION_NANO);
    int code = pcap_activate(pcap);
    if (code < 0) {
        explain(pcap, code, error);
    } else if (prepare(pcap, filter, error) == 0) {
        return (struct cpcap *)pcap;
    }
    pcap_close(pcap);
    return NULL;
}

void cpcap_close(struct cpcap *capture) { pcap_close(handle(capture)); }
int cpcap_descriptor(struct cpcap *capture) { return pcap_get_selectable_fd(handle(capture)); }
int cpcap_link_type(struct cpcap *capture) { return pcap_datalink(handle(capture)); }

const char *cpcap_error(struct cpcap *capture) { return pcap_geterr(handle(capture)); }

int cpcap_next(struct cpcap *capture, struct cpcap_packet *packet) {
    struct pcap_pkthdr *header;
    int code = pcap_next_ex(handle(capture), &header, &packet->bytes);
    if (code != 1) return code;
    int is_nano = pcap_get_tstamp_precision(handle(capture)) == PCAP_TSTAMP_PRECISION_NANO;
    packet->captured = header->caplen;
    packet->length = header->len;
    packet->nanoseconds = (int64_t)header->ts.tv_sec * 1000000000 + (int64_t)header->ts.tv_usec * (is_nano ? 1 : 1000);
    return 1;
}

int64_t cpcap_dropped(struct cpcap *capture) {
    struct pcap_stat stats;
    return pcap_stats(handle(capture), &stats) == 0 ? (int64_t)stats.ps_drop : -1;
}
