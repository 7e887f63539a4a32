// The shims that need GNU extensions of the C library.
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <netinet/udp.h>
#include <time.h>
#include <unistd.h>

#include "CLinux.h"

int clinux_recvmmsg(int descriptor, struct clinux_mmsghdr *headers, unsigned int count, int flags) {
    return recvmmsg(descriptor, (struct mmsghdr *)headers, count, flags, NULL);
}

int clinux_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); }

int clinux_clock_set_timer_arm(int descriptor) {
    struct itimerspec never = {.it_value.tv_sec = LONG_MAX};
    return timerfd_settime(descriptor, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL);
}

int clinux_clock_set_timer(void) {
    int descriptor = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (descriptor >= 0 && clinux_clock_set_timer_arm(descriptor) != 0) {
        int error = errno;
        close(descriptor);
        errno = error;
        return -1;
    }
    return descriptor;
}

int clinux_kernel_clock(struct clinux_kernel_clock *clock) {
    struct timex state = {.modes = 0};
    if (adjtimex(&state) == -1) return -1;
    clock->is_unsynchronised = (state.status & STA_UNSYNC) != 0;
    clock->has_fault = (state.status & STA_CLOCKERR) != 0;
    clock->in_nanoseconds = (state.status & STA_NANO) != 0;
    clock->tai = state.tai;
    clock->offset = state.offset;
    clock->frequency = state.freq;
    clock->maximum_error = state.maxerror;
    clock->estimated_error = state.esterror;
    return 0;
}

/// Starts a program; see Child.start. Returns 0 or an errno.
int clinux_spawn(pid_t *pid, char *const words[], char *const environment[], int output) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int result = posix_spawn_file_actions_init(&actions);
    if (result != 0) return result;
    result = posix_spawnattr_init(&attributes);
    if (result != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return result;
    }
    sigemptyset(&none);
    sigfillset(&all);
    if (result == 0) result = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (result == 0) result = posix_spawn_file_actions_adddup2(&actions, output, 1);
    if (result == 0) result = posix_spawn_file_actions_adddup2(&actions, output, 2);
    if (result == 0) result = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    if (result == 0) result = posix_spawn_file_actions_addchdir_np(&actions, "/");
    if (result == 0) result = posix_spawnattr_setsigmask(&attributes, &none);
    if (result == 0) result = posix_spawnattr_setsigdefault(&attributes, &all);
    if (result == 0)
        result = posix_spawnattr_setflags(
            &attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (result == 0) result = posix_spawn(pid, words[0], &actions, &attributes, words, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return result;
}

int clinux_pipe(int ends[2]) {
    if (pipe2(ends, O_CLOEXEC) != 0) return -1;
    // Only our end: the program's is one that waits.
    return fcntl(ends[0], F_SETFL, O_NONBLOCK);
}

ssize_t clinux_send_segments(int descriptor, const void *bytes, size_t count, uint16_t length,
                             const struct sockaddr_in *target) {
    union {
        char room[CMSG_SPACE(sizeof(uint16_t))];
        struct cmsghdr header;
    } control = {0};
    struct iovec vector = {(void *)bytes, count};
    struct msghdr message = {(void *)target, sizeof *target, &vector, 1, control.room, sizeof control.room, 0};
    struct cmsghdr *segment = CMSG_FIRSTHDR(&message);
    segment->cmsg_level = SOL_UDP;
    segment->cmsg_type = UDP_SEGMENT;
    segment->cmsg_len = CMSG_LEN(sizeof length);
    memcpy(CMSG_DATA(segment), &length, sizeof length);
    return sendmsg(descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

#if defined(__x86_64__)
#include <nmmintrin.h>

int clinux_has_crc32c(void) { return __builtin_cpu_supports("sse4.2") != 0; }

__attribute__((target("sse4.2"))) uint32_t clinux_crc32c(uint32_t before, const void *bytes, size_t count) {
    const unsigned char *next = bytes;
    uint64_t value = ~before;
    while (count >= 8) {
        uint64_t word;
        memcpy(&word, next, 8);
        value = _mm_crc32_u64(value, word);
        next += 8;
        count -= 8;
    }
    uint32_t rest = (uint32_t)value;
    while (count > 0) {
        rest = _mm_crc32_u8(rest, *next);
        next += 1;
        count -= 1;
    }
    return ~rest;
}
#else
int clinux_has_crc32c(void) { return 0; }
uint32_t clinux_crc32c(uint32_t before, const void *bytes, size_t count) {
    (void)bytes, (void)count;
    return before;
}
#endif
