// The shims that need GNU extensions of the C library.
#define _GNU_SOURCE 1
#include <stddef.h>
#include <sys/socket.h>

struct clinux_mmsghdr;

int clinux_recvmmsg(int descriptor, struct clinux_mmsghdr *headers, unsigned int count, int flags) {
    return recvmmsg(descriptor, (struct mmsghdr *)headers, count, flags, NULL);
}
