// SPDX-License-Identifier: MIT
//
// What a gateway's threads may not do, tried from inside: preloaded, it waits until a thread sleeps
// or waits, which each does sooner or later in a call that stands here, and then makes in it
//     FORBIDDEN=all                 each of the calls below, once in each thread. That none of them
//                                   ends the process, the handler for refused ones is our own
//     FORBIDDEN=THREAD:CALL         one of them, in one thread, and the gateway's handler decides
// FORBIDDEN_JOURNAL is the folder of a shard's journal. What came of each call is said on standard
// error: "forbidden: THREAD CALL: refused", "done", or the error.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define THREADS_MAX 64
#define NAME_SIZE   16

static struct {
    pthread_t thread;
    char name[NAME_SIZE];
} named[THREADS_MAX];
static _Atomic unsigned named_count;

static _Thread_local bool tried, refused;
static char paths[3][4096]; // a file of the journal, and one beside its folder

// --- The attempts

static long run_a_program(void)
{
    char *const arguments[] = {paths[0], NULL};
    return syscall(SYS_execve, "/bin/true", arguments, NULL);
}
static long fork_off(void)
{
    return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}
static long trace(void)
{
    return syscall(SYS_ptrace, 16 /* attach */, getppid(), 0, 0);
}
static long read_process(void)
{
    return syscall(SYS_process_vm_readv, getppid(), 0, 0, 0, 0, 0);
}
static long load_bpf(void)
{
    union bpf_attr attributes = {0};
    return syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes));
}
static long set_up_io_uring(void)
{
    static char parameters[256];
    return syscall(SYS_io_uring_setup, 1, parameters);
}
static long connect_out(void)
{
    return syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}
static long sniff(void)
{
    return syscall(SYS_socket, AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
}
static long become_root(void)
{
    return syscall(SYS_setuid, 0);
}
static long mount_over(void)
{
    return syscall(SYS_mount, "none", "/mnt", "tmpfs", 0, 0);
}
static long enter_namespace(void)
{
    return syscall(SYS_unshare, CLONE_NEWUSER);
}
static long kill_parent(void)
{
    return syscall(SYS_kill, getppid(), 0);
}
static long have_the_kernel_signal(void)
{
    return syscall(SYS_fcntl, STDERR_FILENO, F_SETOWN, getppid());
}
static long load_module(void)
{
    return syscall(SYS_finit_module, 0, "", 0);
}
static long map_code(void)
{
    return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static long take_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = 1, .permitted = 1}};
    return syscall(SYS_capset, &header, data);
}
// As it is already: where that is let through it does no harm.
static long steer_the_clock(void)
{
    struct timex state = {.modes = 0};
    if (syscall(SYS_clock_adjtime, CLOCK_REALTIME, &state) < 0)
        return -1;
    state.modes = ADJ_FREQUENCY;
    return syscall(SYS_clock_adjtime, CLOCK_REALTIME, &state);
}
static long open_file(const char *path, int flags)
{
    return syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}
static long read_passwords(void)
{
    return open_file("/etc/shadow", O_RDONLY);
}
static long read_beside(void)
{
    return open_file(paths[1], O_RDONLY);
}
static long make_beside(void)
{
    return open_file(paths[2], O_WRONLY | O_CREAT);
}
static long read_tap(void)
{
    return open_file("/dev/shm/.", O_RDONLY | O_DIRECTORY);
}
static long read_journal(void)
{
    return open_file(paths[0], O_RDONLY);
}

static const struct {
    const char *name;
    long (*attempt)(void);
} attempts[] = {
    {"execve", run_a_program},
    {"clone", fork_off},
    {"ptrace", trace},
    {"vm_readv", read_process},
    {"bpf", load_bpf},
    {"io_uring", set_up_io_uring},
    {"tcp", connect_out},
    {"packet", sniff},
    {"setuid", become_root},
    {"mount", mount_over},
    {"unshare", enter_namespace},
    {"kill", kill_parent},
    {"setown", have_the_kernel_signal},
    {"finit_module", load_module},
    {"map_code", map_code},
    {"capset", take_capabilities},
    {"steer_clock", steer_the_clock},
    {"shadow", read_passwords},
    {"beside", read_beside},
    {"make_beside", make_beside},
    {"shm", read_tap},
    {"journal", read_journal},
};

// --- When

static const char *own_name(void)
{
    if (syscall(SYS_gettid) == getpid())
        return "main";
    unsigned count = atomic_load(&named_count);
    for (unsigned i = 0; i < count; i++)
        if (pthread_equal(named[i].thread, pthread_self()))
            return named[i].name;
    return NULL; // not yet
}

static void try(const char *thread, size_t index)
{
    errno = 0;
    refused = false;
    long result = attempts[index].attempt();
    int why = errno;
    dprintf(STDERR_FILENO, "forbidden: %s %s: %s\n", thread, attempts[index].name,
            refused       ? "refused"
            : result >= 0 ? "done"
                          : strerrorname_np(why));
}

static bool wants_all(void)
{
    const char *wanted = getenv("FORBIDDEN");
    return wanted && strcmp(wanted, "all") == 0;
}

static void try_what_is_wanted(void)
{
    const char *wanted = getenv("FORBIDDEN"), *thread = own_name();
    if (tried || !thread || !wanted)
        return;
    tried = true;
    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        char text[64];
        snprintf(text, sizeof(text), "%s:%s", thread, attempts[i].name);
        if (wants_all() || strcmp(wanted, text) == 0)
            try(thread, i);
    }
    if (wants_all())
        dprintf(STDERR_FILENO, "forbidden: %s: all tried\n", thread);
}

__attribute__((constructor)) static void find_paths(void)
{
    const char *journal = getenv("FORBIDDEN_JOURNAL");
    snprintf(paths[0], sizeof(paths[0]), "%s/lock", journal ? journal : "");
    snprintf(paths[1], sizeof(paths[1]), "%s/../../lab.conf", journal ? journal : "");
    snprintf(paths[2], sizeof(paths[2]), "%s/../made", journal ? journal : "");
}

// --- What stands in front of libc

int pthread_setname_np(pthread_t thread, const char *name)
{
    int (*next)(pthread_t, const char *) =
        (int (*)(pthread_t, const char *))dlsym(RTLD_NEXT, "pthread_setname_np");
    unsigned index = atomic_load(&named_count);
    if (index < THREADS_MAX) {
        named[index].thread = thread;
        snprintf(named[index].name, NAME_SIZE, "%s", name);
        atomic_store(&named_count, index + 1);
    }
    return next(thread, name);
}

// The kernel leaves the call's number where its result is looked for.
static void note_refusal(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)info;
    (void)context;
#ifdef __x86_64__
    ucontext_t *interrupted = context;
    interrupted->uc_mcontext.gregs[REG_RAX] = -EPERM;
#endif
    refused = true;
}

int sigaction(int signal_number, const struct sigaction *action, struct sigaction *old)
{
    int (*next)(int, const struct sigaction *, struct sigaction *) =
        (int (*)(int, const struct sigaction *, struct sigaction *))dlsym(RTLD_NEXT, "sigaction");
    const struct sigaction own = {.sa_sigaction = note_refusal, .sa_flags = SA_SIGINFO};
    return next(signal_number, signal_number == SIGSYS && wants_all() ? &own : action, old);
}

int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    int (*next)(struct pollfd *, nfds_t, int) =
        (int (*)(struct pollfd *, nfds_t, int))dlsym(RTLD_NEXT, "poll");
    try_what_is_wanted();
    return next(fds, count, timeout_ms);
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    int (*next)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *) =
        (int (*)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *))dlsym(
            RTLD_NEXT, "ppoll");
    try_what_is_wanted();
    return next(fds, count, timeout, mask);
}

int sigtimedwait(const sigset_t *signals, siginfo_t *info, const struct timespec *timeout)
{
    int (*next)(const sigset_t *, siginfo_t *, const struct timespec *) =
        (int (*)(const sigset_t *, siginfo_t *, const struct timespec *))dlsym(RTLD_NEXT,
                                                                               "sigtimedwait");
    try_what_is_wanted();
    return next(signals, info, timeout);
}

int nanosleep(const struct timespec *wanted, struct timespec *rest)
{
    int (*next)(const struct timespec *, struct timespec *) =
        (int (*)(const struct timespec *, struct timespec *))dlsym(RTLD_NEXT, "nanosleep");
    // Spares' and snapshots' threads sleep here; main does before it is shut in.
    if (syscall(SYS_gettid) != getpid())
        try_what_is_wanted();
    return next(wanted, rest);
}
