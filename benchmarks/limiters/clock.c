/* A clock that runs faster than the world's, for whatever program it is loaded into (LD_PRELOAD).
 *
 * Limits count by the minute, and some count by the minute of the day, so that a limiter can be seen at work only for
 * minutes. Here all clocks of a program but those of its processor time, and all its waits, are CLOCK_SPEED times as
 * fast: the program is as it is and knows nothing. Several programs with the same CLOCK_REAL (nanoseconds of the real
 * monotonic clock) and CLOCK_WALL (nanoseconds of the Unix time that it was then) see the same time.
 *
 * With CLOCK_SPEED=0 the clock stands still while the program works, and where its first thread would wait it jumps to
 * the end of the wait, and up to a millisecond beyond it, as no machine is exact: who polls would else meet the same
 * others at every turn. What comes out is the same on a slow and on a busy machine.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef long long ns_t;
#define SECOND 1000000000LL
#define GRACE 200000LL   /* nanoseconds, real */
#define MONOTONIC (100000 * SECOND)
#define STEP 50          /* a look at a standing clock moves it by this, so that nobody waits for it for ever */

static double speed;
static ns_t real_start, wall_start;
static _Atomic ns_t jumped;
static _Atomic int threads;
static int (*next_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
static int (*next_cond)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

static ns_t of(const struct timespec *at) { return at->tv_sec * SECOND + at->tv_nsec; }
static struct timespec spec(ns_t at) { return (struct timespec){at / SECOND, at % SECOND}; }

static ns_t real(clockid_t which) {
    struct timespec now;
    syscall(SYS_clock_gettime, which, &now);
    return of(&now);
}

__attribute__((constructor)) static void begin(void) {
    const char *given = getenv("CLOCK_SPEED");
    speed = given ? atof(given) : 1;
    real_start = getenv("CLOCK_REAL") ? atoll(getenv("CLOCK_REAL")) : real(CLOCK_MONOTONIC);
    wall_start = getenv("CLOCK_WALL") ? atoll(getenv("CLOCK_WALL")) : real(CLOCK_REALTIME);
    next_create = dlsym(RTLD_NEXT, "pthread_create");
    next_cond = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2"); /* the first version is another thing */
    if (!next_cond) next_cond = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
}

static ns_t elapsed(void) {
    if (speed == 0) return atomic_fetch_add(&jumped, STEP);
    return (ns_t)((real(CLOCK_MONOTONIC) - real_start) * speed);
}

static int is_wall(clockid_t which) { return which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE; }
static int is_cpu(clockid_t which) {
    return which == CLOCK_PROCESS_CPUTIME_ID || which == CLOCK_THREAD_CPUTIME_ID || which < 0;
}
static ns_t now_of(clockid_t which) { return (is_wall(which) ? wall_start : MONOTONIC) + elapsed(); }
static int drives(void) { return speed == 0 && getpid() == (pid_t)syscall(SYS_gettid); }
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    atomic_store(&threads, 1);
    return next_create(thread, attributes, run, argument);
}

static void rest(ns_t real_ns) {
    struct timespec nap = spec(real_ns);
    syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &nap, NULL);
}

/* How much too long a wait is: always the same row of numbers. */
static ns_t beyond(void) {
    static unsigned int state = 1;
    state = state * 1664525u + 1013904223u;
    return state >> 12;
}

/* Whether another thread of this process is at work. */
static int busy(void) {
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    int found = 0;
    while (tasks && !found && (task = readdir(tasks))) {
        char path[64], text[256] = "";
        if (task->d_name[0] == '.' || atoi(task->d_name) == getpid()) continue;
        snprintf(path, sizeof path, "/proc/self/task/%.20s/stat", task->d_name);
        int file = open(path, O_RDONLY);
        if (file < 0) continue;
        if (read(file, text, sizeof text - 1) > 0) {
            char *state = strrchr(text, ')');
            found = state && (state[2] == 'R' || state[2] == 'D');
        }
        close(file);
    }
    if (tasks) closedir(tasks);
    return found;
}

/* Before the clock jumps: what is sent on loopback is there at once, threads are let finish. */
static void settle(void) {
    if (!atomic_load(&threads)) return;
    do rest(GRACE);
    while (busy());
}

int clock_gettime(clockid_t which, struct timespec *now) {
    if (is_cpu(which)) return (int)syscall(SYS_clock_gettime, which, now);
    *now = spec(now_of(which));
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    ns_t at = now_of(CLOCK_REALTIME);
    *now = (struct timeval){at / SECOND, at % SECOND / 1000};
    return 0;
}

time_t time(time_t *out) {
    time_t at = now_of(CLOCK_REALTIME) / SECOND;
    if (out) *out = at;
    return at;
}

/* Wait for a virtual span, as somebody who does nothing else. */
static void pass(ns_t span) {
    if (span <= 0) return;
    if (speed != 0) {
        rest((ns_t)(span / speed));
    } else if (drives()) {
        settle();
        atomic_fetch_add(&jumped, span + beyond());
    } else {
        ns_t end = atomic_load(&jumped) + span;
        while (atomic_load(&jumped) < end) rest(GRACE);
    }
}

int clock_nanosleep(clockid_t which, int flags, const struct timespec *wanted, struct timespec *left) {
    (void)left;
    pass(flags & TIMER_ABSTIME ? of(wanted) - now_of(which) : of(wanted));
    return 0;
}

int nanosleep(const struct timespec *wanted, struct timespec *left) {
    (void)left;
    pass(of(wanted));
    return 0;
}

int usleep(useconds_t us) {
    pass(us * 1000LL);
    return 0;
}

unsigned int sleep(unsigned int seconds) {
    pass(seconds * SECOND);
    return 0;
}

static int ppoll_for(struct pollfd *fds, nfds_t count, ns_t real_ns, const sigset_t *mask) {
    struct timespec wait = spec(real_ns);
    return (int)syscall(SYS_ppoll, fds, count, real_ns < 0 ? NULL : &wait, mask, 8);
}

static int poll_span(struct pollfd *fds, nfds_t count, ns_t span, const sigset_t *mask) {
    if (span <= 0) return ppoll_for(fds, count, span, mask);
    if (speed != 0) return ppoll_for(fds, count, (ns_t)(span / speed), mask);
    ns_t end = atomic_load(&jumped) + span;
    do {
        int ready = ppoll_for(fds, count, 0, mask);
        if (ready) return ready;
        if (!drives()) {
            rest(GRACE);
            continue;
        }
        settle();
        ready = ppoll_for(fds, count, 0, mask);
        if (ready) return ready;
        atomic_store(&jumped, end + beyond());
    } while (atomic_load(&jumped) < end);
    return 0;
}

int poll(struct pollfd *fds, nfds_t count, int ms) { return poll_span(fds, count, ms < 0 ? -1 : ms * 1000000LL, NULL); }

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *wait, const sigset_t *mask) {
    return poll_span(fds, count, wait ? of(wait) : -1, mask);
}

int select(int count, fd_set *in, fd_set *out, fd_set *bad, struct timeval *wait) {
    if (!count && wait) {
        pass(wait->tv_sec * SECOND + wait->tv_usec * 1000LL);
        return 0;
    }
    struct timespec real_wait = {0, 0};
    if (wait) real_wait = spec((ns_t)((wait->tv_sec * SECOND + wait->tv_usec * 1000LL) / (speed == 0 ? 1 : speed)));
    return (int)syscall(SYS_pselect6, count, in, out, bad, wait ? &real_wait : NULL, NULL);
}

static int epoll_for(int fd, struct epoll_event *events, int most, ns_t real_ns, const sigset_t *mask) {
    struct timespec wait = spec(real_ns);
#ifdef SYS_epoll_pwait2
    int ready = (int)syscall(SYS_epoll_pwait2, fd, events, most, real_ns < 0 ? NULL : &wait, mask, 8);
    if (ready >= 0 || errno != ENOSYS) return ready;
#endif
    int ms = real_ns < 0 ? -1 : (int)((real_ns + 999999) / 1000000);
    return (int)syscall(SYS_epoll_pwait, fd, events, most, ms, mask, 8);
}

static int epoll_span(int fd, struct epoll_event *events, int most, int ms, const sigset_t *mask) {
    ns_t span = ms < 0 ? -1 : ms * 1000000LL;
    if (span <= 0) return epoll_for(fd, events, most, span, mask);
    if (speed != 0) return epoll_for(fd, events, most, (ns_t)(span / speed), mask);
    ns_t end = atomic_load(&jumped) + span;
    do {
        int ready = epoll_for(fd, events, most, 0, mask);
        if (ready) return ready;
        if (!drives()) {
            rest(GRACE);
            continue;
        }
        settle();
        ready = epoll_for(fd, events, most, 0, mask);
        if (ready) return ready;
        atomic_store(&jumped, end + beyond());
    } while (atomic_load(&jumped) < end);
    return 0;
}

int epoll_wait(int fd, struct epoll_event *events, int most, int ms) { return epoll_span(fd, events, most, ms, NULL); }

int epoll_pwait(int fd, struct epoll_event *events, int most, int ms, const sigset_t *mask) {
    return epoll_span(fd, events, most, ms, mask);
}

/* Locks with an end: the end is a time of our clock, what is waited for is a span of the real one. */
static int sem_until(sem_t *semaphore, clockid_t which, const struct timespec *end) {
    for (;;) {
        if (!sem_trywait(semaphore)) return 0;
        if (errno != EAGAIN) return -1;
        ns_t left = of(end) - now_of(which);
        if (left <= 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        rest(GRACE);
        if (drives() && sem_trywait(semaphore) == 0) return 0;
        if (drives()) atomic_fetch_add(&jumped, left < 1000000 ? left : 1000000);
    }
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict end) {
    return sem_until(semaphore, CLOCK_REALTIME, end);
}

int sem_clockwait(sem_t *restrict semaphore, clockid_t which, const struct timespec *restrict end) {
    return sem_until(semaphore, which, end);
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict end) {
    /* The condition knows which clock it is for; so does the size of the number. */
    clockid_t which = of(end) > wall_start / 2 ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    ns_t left = of(end) - now_of(which);
    if (left < 0) left = 0;
    struct timespec until = spec(real(which) + (ns_t)(left / (speed == 0 ? 1 : speed)));
    return next_cond(cond, mutex, &until);
}
