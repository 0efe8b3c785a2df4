/* Preloaded into a node: moves its wall clock by the nanoseconds that stand, as text, in the file $JEP_CLOCK.
 *
 * It allocates nothing and calls nothing that could be preloaded, as the node's allocator reads clocks itself. Only
 * CLOCK_REALTIME is moved: elections and timeouts of the node go by the monotonic clock.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long offset(void) {
    const char *path = getenv("JEP_CLOCK");
    char text[32];
    if (!path) return 0;
    long file = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    long length = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    long long nanos = 0;
    int negative = length > 0 && text[0] == '-';
    for (long at = negative; at < length && text[at] >= '0' && text[at] <= '9'; at++)
        nanos = nanos * 10 + (text[at] - '0');
    return negative ? -nanos : nanos;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        long long nanos = time->tv_nsec + offset();
        long long seconds = nanos / 1000000000, rest = nanos % 1000000000;
        if (rest < 0) rest += 1000000000, seconds--;
        time->tv_sec += seconds;
        time->tv_nsec = rest;
    }
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}
