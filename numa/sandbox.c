// SPDX-License-Identifier: MIT
#include "numa/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "numa/invariant.h"

#define EXIT_SANDBOX      71 // EX_OSERR of sysexits.h
#define DRIVERS_SIGNAL    SIGRTMAX
#define DRIVERS_ANSWER_MS 1000

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

static struct {
    bool on;
    bool files, calls; // landlock and seccomp are in force
    int ruleset;
    struct sock_fprog filters[SANDBOX_KIND_COUNT];
} sandbox; // written before threads start

static _Thread_local const char *own_kind = "unknown";

static const char *const kind_names[SANDBOX_KIND_COUNT] = {
    [SANDBOX_LOOP] = "loop",       [SANDBOX_JOURNAL] = "journal", [SANDBOX_FILES] = "files",
    [SANDBOX_CONTROL] = "control", [SANDBOX_MAIN] = "main",       [SANDBOX_LOGINS] = "logins",
};

// --- System calls

// They tell something and change nothing: libc asks where nobody expects it (qsort for the size of
// the machine's memory, malloc for the number of cores).
static const char *const calls_that_tell[] = {
    "clock_gettime",
    "clock_getres",
    "gettimeofday",
    "time",
    "times",
    "getrusage",
    "sysinfo",
    "uname",
    "getcpu",
    "sched_getaffinity",
    "getpid",
    "getppid",
    "gettid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "fstat",
    "newfstatat",
    "lseek",
    NULL,
};

// Memory, sleeping, waking, a last line to stderr, abort(), the end of a thread. What was
// interrupted goes on by restart_syscall.
static const char *const calls_of_all[] = {
    "brk",          "munmap",         "mremap",          "madvise",   "read",
    "write",        "writev",         "close",           "poll",      "ppoll",
    "futex",        "sched_yield",    "clock_nanosleep", "nanosleep", "restart_syscall",
    "rt_sigreturn", "rt_sigprocmask", "getrandom",       "exit",      "exit_group",
    NULL,
};

static const char *const calls_of_loops[] = {
    "sendto", "recvfrom", "sendmmsg", "recvmmsg", "getsockopt", NULL,
};

static const char *const calls_of_control[] = {
    "accept4", "recvfrom", "sendto", "getsockopt", "shutdown", NULL,
};

static const char *const calls_of_journals[] = {"openat", "pwrite64", NULL};

// Beside those of the journal's thread. The last ones place and wake the lane that a snapshot is
// made with.
static const char *const calls_of_files[] = {
    "pread64",   "fallocate", "fsync",      "faccessat", "faccessat2", "access",   "renameat",
    "renameat2", "unlinkat",  "getdents64", "mbind",     "move_pages", "eventfd2", NULL,
};

// Beside those of FILES: the end of the taps, and a port's last counters.
static const char *const calls_of_main[] = {"rt_sigtimedwait", "unlink", "getsockopt", NULL};

// Calls that are not this architecture's have negative numbers.
static int allow(scmp_filter_ctx filter, const char *name, unsigned condition_count,
                 const struct scmp_arg_cmp *conditions)
{
    int number = seccomp_syscall_resolve_name(name);
    INVARIANT(number != __NR_SCMP_ERROR);
    return number < 0 ? 0
                      : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, condition_count,
                                               conditions);
}

static int allow_each(scmp_filter_ctx filter, const char *const *names)
{
    int code = 0;
    for (; *names && code == 0; names++)
        code = allow(filter, *names, 0, NULL);
    return code;
}

// One argument is one of `count` values.
static int allow_values(scmp_filter_ctx filter, const char *name, unsigned argument,
                        const uint64_t *values, size_t count)
{
    int code = 0;
    for (size_t i = 0; i < count && code == 0; i++)
        code = allow(filter, name, 1, &(struct scmp_arg_cmp){argument, SCMP_CMP_EQ, values[i], 0});
    return code;
}

static int allow_memory_without_code(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp no_code = {2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0};
    int code = allow(filter, "mmap", 1, &no_code);
    return code ? code : allow(filter, "mprotect", 1, &no_code);
}

// fdopendir() asks for a descriptor's flags and has it closed by exec; main locks in the taps.
// Others of its commands have the kernel send signals.
static int allow_fcntl(scmp_filter_ctx filter, bool locks)
{
    static const uint64_t commands[] = {F_GETFL, F_SETFD, F_OFD_SETLK};
    return allow_values(filter, "fcntl", 1, commands, locks ? 3 : 2);
}

static int allow_looking_at_interfaces(scmp_filter_ctx filter)
{
    static const uint64_t requests[] = {SIOCGIFFLAGS, SIOCETHTOOL, TCGETS}; // TCGETS: stdio's
    static const uint64_t commands[] = {BPF_MAP_LOOKUP_ELEM, BPF_MAP_DELETE_ELEM};
    const struct scmp_arg_cmp datagrams[] = {{0, SCMP_CMP_EQ, AF_INET, 0},
                                             {1, SCMP_CMP_EQ, SOCK_DGRAM | SOCK_CLOEXEC, 0}};
    int code = allow(filter, "socket", 2, datagrams);
    if (code == 0)
        code = allow_values(filter, "ioctl", 1, requests, 3);
    return code ? code : allow_values(filter, "bpf", 0, commands, 2);
}

// To ask who steers the clock and how well: to steer it takes a capability.
static int allow_asking_of_the_clock(scmp_filter_ctx filter)
{
    static const uint64_t clocks[] = {CLOCK_REALTIME};
    return allow_values(filter, "clock_adjtime", 0, clocks, 1);
}

static int allow_control(scmp_filter_ctx filter)
{
    static const uint64_t commands[] = {BPF_MAP_LOOKUP_ELEM};
    int code = allow_each(filter, calls_of_control);
    return code ? code : allow_values(filter, "bpf", 0, commands, 1);
}

// 0, or a negated errno.
static int fill_list(scmp_filter_ctx filter, enum sandbox_kind kind)
{
    const uint64_t own_process = (uint64_t)getpid();
    int code = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (code == 0)
        code = allow_each(filter, calls_that_tell);
    if (code == 0)
        code = allow_each(filter, calls_of_all);
    if (code == 0)
        code = allow_values(filter, "tgkill", 0, &own_process, 1);
    if (code == 0)
        code = allow_memory_without_code(filter);
    if (kind == SANDBOX_LOOP)
        return code ? code : allow_each(filter, calls_of_loops);
    if (kind == SANDBOX_CONTROL)
        return code ? code : allow_control(filter);
    if (kind == SANDBOX_LOGINS)
        return code;
    if (code == 0)
        code = allow_each(filter, calls_of_journals);
    if (kind == SANDBOX_JOURNAL || code)
        return code;
    code = allow_each(filter, calls_of_files);
    if (code == 0)
        code = allow_fcntl(filter, kind == SANDBOX_MAIN);
    if (kind == SANDBOX_FILES || code)
        return code;
    code = allow_each(filter, calls_of_main);
    if (code == 0)
        code = allow_asking_of_the_clock(filter);
    return code ? code : allow_looking_at_interfaces(filter);
}

// The filter as the kernel takes it, by way of a file in memory. 0, or a negated errno.
static int export_list(scmp_filter_ctx filter, struct sock_fprog *program)
{
    int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int code = seccomp_export_bpf(filter, fd);
    off_t size = code ? 0 : lseek(fd, 0, SEEK_END);
    program->filter = size > 0 ? malloc((size_t)size) : NULL;
    program->len = (unsigned short)((size_t)size / sizeof(*program->filter));
    if (code == 0 && (!program->filter || pread(fd, program->filter, (size_t)size, 0) != size))
        code = -EIO;
    close(fd);
    return code;
}

// Compiled beforehand: in the threads it is one system call each, and no memory.
static int compile_list(enum sandbox_kind kind)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
    if (!filter)
        return -ENOMEM;
    int code = fill_list(filter, kind);
    if (code == 0)
        code = export_list(filter, &sandbox.filters[kind]);
    seccomp_release(filter);
    return code;
}

static char *put_number(char *at, unsigned number)
{
    if (number >= 10)
        at = put_number(at, number / 10);
    *at++ = (char)('0' + number % 10);
    return at;
}

// In the midst of anything, malloc included: no libc beyond memory moves. SIGSYS is as it was
// before when this runs (SA_RESETHAND), so that the second one ends the process.
static void tell_and_die(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    char line[256], *end = line;
    end = stpcpy(end, "sluice: a thread (");
    end = stpcpy(end, own_kind);
    end = stpcpy(end, ") made system call ");
    end = put_number(end, (unsigned)info->si_syscall);
    end = stpcpy(end, ", which is not on its list (numa/sandbox.c; `ausyscall ");
    end = put_number(end, (unsigned)info->si_syscall);
    end = stpcpy(end, "` names it): the process ends\n");
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)(end - line));
    (void)ignored;
    syscall(SYS_tgkill, getpid(), gettid(), signal_number);
}

static int prepare_calls(struct error *error)
{
    uint32_t action = SECCOMP_RET_TRAP;
    struct sigaction refused = {.sa_sigaction = tell_and_die,
                                .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER};
    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action))
        return error_set(error,
                         "sandbox: this kernel has no filters for system calls (seccomp: %s): take "
                         "one with CONFIG_SECCOMP_FILTER, or set sandbox = \"off\"",
                         strerror(errno));
    for (unsigned kind = 0; kind < SANDBOX_KIND_COUNT; kind++) {
        int code = compile_list((enum sandbox_kind)kind);
        if (code)
            return error_set(error, "sandbox: the list of system calls of \"%s\" threads: %s",
                             kind_names[kind], strerror(-code));
    }
    sandbox.calls = true;
    return sigaction(SIGSYS, &refused, NULL)
               ? error_set(error, "sandbox: sigaction: %s", strerror(errno))
               : 0;
}

// --- Files

// The rights that this kernel knows of are those up to a bit. Debian 12's headers have not all of
// them: from 6.2 on truncating, from 6.10 on device ioctls.
static uint64_t rights_of(long version)
{
    unsigned count = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
    return (1ull << count) - 1;
}

// As of 6.12; the kernel takes what follows the fields that it knows as long as it is zero.
struct ruleset {
    uint64_t files, ports;
    uint64_t scope;
};
#define SCOPE_ABSTRACT_SOCKETS 1ull
#define SCOPE_SIGNALS          2ull

static int open_folder(const struct sandbox_folder *folder, struct error *error)
{
    uint64_t rights = LANDLOCK_ACCESS_FS_REMOVE_FILE;
    if (!folder->remove_only)
        rights |= LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_READ_FILE |
                  LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE;
    struct landlock_path_beneath_attr beneath = {
        .allowed_access = rights, .parent_fd = open(folder->path, O_PATH | O_CLOEXEC)};
    if (beneath.parent_fd < 0)
        return error_set(error, "sandbox: cannot open the folder %s: %s", folder->path,
                         strerror(errno));
    long failed =
        syscall(SYS_landlock_add_rule, sandbox.ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
    int why = errno;
    close(beneath.parent_fd);
    return failed ? error_set(error, "sandbox: landlock does not take the folder %s: %s",
                              folder->path, strerror(why))
                  : 0;
}

static int prepare_files(const struct sandbox_folder *folders, size_t count, struct error *error)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1) {
        warn("files outside of the journal's folders are not out of reach: this kernel has no "
             "landlock (%s); put it first in lsm= on the kernel's command line, or take a kernel "
             "with CONFIG_SECURITY_LANDLOCK",
             strerror(errno));
        return 0;
    }
    struct ruleset ruleset = {.files = rights_of(version),
                              .scope = version >= 6 ? SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS : 0};
    sandbox.ruleset = (int)syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);
    if (sandbox.ruleset < 0)
        return error_set(error, "sandbox: landlock_create_ruleset: %s", strerror(errno));
    for (size_t i = 0; i < count; i++)
        if (open_folder(&folders[i], error))
            return -1;
    sandbox.files = true;
    return 0;
}

// --- Capabilities

// Without CAP_SETPCAP the set stays as it is; no_new_privs keeps it from being of use.
static void empty_bounding_set(void)
{
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
}

// Effective, permitted and inheritable; ambient ones go with these. 0, or -1 with errno.
static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    return (int)syscall(SYS_capset, &header, none);
}

// --- Threads of drivers

// Who has given up last. It passes nothing else on.
static _Atomic pid_t gave_up;

static void give_up(int signal_number)
{
    int before = errno;
    (void)signal_number;
    empty_bounding_set();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && drop_capabilities() == 0)
        atomic_store_explicit(&gave_up, gettid(), memory_order_relaxed);
    errno = before;
}

static bool make_give_up(pid_t thread)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    if (syscall(SYS_tgkill, getpid(), thread, DRIVERS_SIGNAL))
        return errno == ESRCH;
    for (int waited_ms = 0; waited_ms < DRIVERS_ANSWER_MS; waited_ms++) {
        if (atomic_load_explicit(&gave_up, memory_order_relaxed) == thread)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

// A driver that was opened before has started its threads with all that the process was allowed
// then (DPDK's EAL one that waits for interrupts), and a thread can only give up its own: a signal
// has each do it. The handler stays, as one that blocks the signal may get it later.
static int shut_in_drivers_threads(struct error *error)
{
    struct sigaction given = {.sa_handler = give_up, .sa_flags = SA_RESTART};
    DIR *threads = opendir("/proc/self/task");
    if (!threads || sigaction(DRIVERS_SIGNAL, &given, NULL))
        return error_set(error, "sandbox: cannot list the threads of drivers: %s", strerror(errno));
    for (struct dirent *entry = readdir(threads); entry; entry = readdir(threads)) {
        pid_t thread = atoi(entry->d_name); // 0: the folder itself and the one above
        if (thread > 0 && thread != gettid() && !make_give_up(thread))
            warn("thread %d, a driver's, keeps its capabilities: it takes no signals", thread);
    }
    closedir(threads);
    return 0;
}

// --- Both

int sandbox_process(const struct sandbox_folder *folders, size_t count, bool drivers,
                    struct error *error)
{
    INVARIANT(!sandbox.on);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return error_set(error, "sandbox: no_new_privs: %s", strerror(errno));
    empty_bounding_set();
    if (!SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
        return error_set(error, "sandbox: no core dumps: %s", strerror(errno));
    if (!SANITIZED && drivers && shut_in_drivers_threads(error))
        return -1;
    if (!SANITIZED && !drivers && (prepare_files(folders, count, error) || prepare_calls(error)))
        return -1;
    sandbox.on = true;
    return 0;
}

void sandbox_thread(enum sandbox_kind kind)
{
    if (!sandbox.on)
        return;
    own_kind = kind_names[kind];
    const char *failed = NULL;
    if (drop_capabilities())
        failed = "capset";
    else if (sandbox.files && syscall(SYS_landlock_restrict_self, sandbox.ruleset, 0))
        failed = "landlock_restrict_self";
    else if (sandbox.calls &&
             syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &sandbox.filters[kind]))
        failed = "seccomp";
    if (!failed)
        return;
    fprintf(stderr,
            "sluice: a thread (%s) cannot be shut in: %s: %s; sandbox = \"off\" does without\n",
            own_kind, failed, strerror(errno));
    _exit(EXIT_SANDBOX);
}

const char *sandbox_state(void)
{
    if (!sandbox.on)
        return "off";
    if (!sandbox.calls)
        return "no capabilities";
    return sandbox.files ? "no capabilities, landlock, seccomp" : "no capabilities, seccomp";
}
