// The door to the kernel: headers whose constants Swift needs, and shims for what only a macro gives.
#pragma once
// glibc's net/if.h must come before the kernel's headers.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <linux/errqueue.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/net_tstamp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

/// pidfd_open(2): glibc 2.36 declares it where Swift cannot see it.
static inline int clinux_pidfd_open(pid_t pid, unsigned int flags) {
    return (int)syscall(SYS_pidfd_open, pid, flags);
}

/// pidfd_send_signal(2).
static inline int clinux_pidfd_send_signal(int pidfd, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, (void *)0, 0u);
}

/// The control-message walk, which exists only as macros.
static inline struct cmsghdr *clinux_cmsg_first(struct msghdr *message) { return CMSG_FIRSTHDR(message); }
static inline struct cmsghdr *clinux_cmsg_next(struct msghdr *message, struct cmsghdr *control) {
    return CMSG_NXTHDR(message, control);
}
static inline unsigned char *clinux_cmsg_data(struct cmsghdr *control) { return CMSG_DATA(control); }
static inline size_t clinux_cmsg_space(size_t length) { return CMSG_SPACE(length); }
static inline size_t clinux_cmsg_length(size_t length) { return CMSG_LEN(length); }

/// ioctl(2) is variadic, which Swift cannot call.
static inline int clinux_ioctl_pointer(int descriptor, unsigned long request, void *argument) {
    return ioctl(descriptor, request, argument);
}
static inline int clinux_fcntl_int(int descriptor, int command, int argument) {
    return fcntl(descriptor, command, argument);
}

/// recvmmsg(2) and its header are GNU extensions, hidden from Swift; the layout is the kernel's.
struct clinux_mmsghdr {
    struct msghdr msg_hdr;
    unsigned int msg_len;
};
int clinux_recvmmsg(int descriptor, struct clinux_mmsghdr *headers, unsigned int count, int flags);

/// accept4(2): a client's socket that neither waits nor outlives exec.
int clinux_accept(int listener);

/// A timer that expires never, and whose descriptor is readable when the wall clock is set.
int clinux_clock_set_timer(void);
int clinux_clock_set_timer_arm(int descriptor);

/// What adjtimex(2) says: times in nanoseconds or microseconds as `in_nanoseconds` tells for the offset.
struct clinux_kernel_clock {
    int is_unsynchronised, has_fault, in_nanoseconds, tai;
    long offset, frequency, maximum_error, estimated_error;
};
int clinux_kernel_clock(struct clinux_kernel_clock *clock);

/// sched_getaffinity(2) of the calling thread for any number of processors: the bytes of the mask, little-endian words.
static inline int clinux_get_affinity(unsigned char *mask, size_t bytes) {
    return (int)syscall(SYS_sched_getaffinity, 0, bytes, mask);
}
static inline int clinux_set_affinity(const unsigned char *mask, size_t bytes) {
    return (int)syscall(SYS_sched_setaffinity, 0, bytes, mask);
}

/// Starts a program apart from this one: a session of its own, no descriptor but `output` as 1 and 2. 0 or an errno.
int clinux_spawn(pid_t *pid, char *const words[], char *const environment[], int output);
/// A pipe whose reading end never waits.
int clinux_pipe(int ends[2]);
/// One send that the kernel cuts into datagrams of `length` bytes (UDP_SEGMENT, udp(7)).
ssize_t clinux_send_segments(int descriptor, const void *bytes, size_t count, uint16_t length,
                             const struct sockaddr_in *target);

/// Whether the processor has an instruction for CRC32C (SSE4.2), and a CRC32C by it; without, it must not be called.
int clinux_has_crc32c(void);
uint32_t clinux_crc32c(uint32_t before, const void *bytes, size_t count);
