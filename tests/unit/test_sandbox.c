// SPDX-License-Identifier: MIT
//
// Each thing that is forbidden is tried from inside, in a process of its own that is shut in as one
// kind of thread.
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "numa/invariant.h"
#include "numa/sandbox.h"

#define DIES   (-1) // with SIGSYS
#define NOBODY 65534

// Three folders: the journal's, one where files can be removed, and one that nobody has named.
static char base[64], journal[96], removable[96], outside[96];
static FILE *told; // what the process inside has said

static void make_file(const char *folder)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/file", folder);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
    close(fd);
}

static void set_up(void)
{
    strcpy(base, "/tmp/test_sandbox.XXXXXX");
    cr_assert_not_null(mkdtemp(base));
    chmod(base, 0755);
    char *const folders[] = {journal, removable, outside};
    static const char *const names[] = {"journal", "removable", "outside"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(folders[i], sizeof(journal), "%s/%s", base, names[i]);
        cr_assert_eq(mkdir(folders[i], 0777), 0);
        make_file(folders[i]);
    }
    told = tmpfile();
    cr_assert_not_null(told);
}

static void empty_folder(const char *path)
{
    DIR *folder = opendir(path);
    for (struct dirent *entry = folder ? readdir(folder) : NULL; entry; entry = readdir(folder))
        unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
    rmdir(path);
}

static void tear_down(void)
{
    empty_folder(journal);
    empty_folder(removable);
    empty_folder(outside);
    rmdir(base);
}

TestSuite(sandbox, .init = set_up, .fini = tear_down);

static void prepare(void)
{
    struct error error;
    const struct sandbox_folder folders[] = {{.path = journal},
                                             {.path = removable, .remove_only = true}};
    if (sandbox_process(folders, 2, false, &error)) {
        fprintf(stderr, "%s\n", error.text);
        _exit(125);
    }
}

static const char *said(void)
{
    static char text[1024];
    rewind(told);
    text[fread(text, 1, sizeof(text) - 1, told)] = '\0';
    return text;
}

typedef long attempt_fn(void);

// The wait status of a process that is shut in as `kind`, makes the attempt, and exits with its
// errno, 0 when it succeeds.
static int attempt_in(enum sandbox_kind kind, attempt_fn *attempt)
{
    int status;
    cr_assert_eq(ftruncate(fileno(told), 0), 0);
    rewind(told);
    pid_t child = fork();
    if (child == 0) {
        dup2(fileno(told), STDERR_FILENO);
        prepare();
        sandbox_thread(kind);
        errno = 0;
        _exit(attempt() >= 0 ? 0 : errno);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status;
}

// What came of it: DIES, or an errno.
static int outcome(int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        return DIES;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static bool has(const char *what)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        prepare();
        _exit(strstr(sandbox_state(), what) ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void need(const char *what)
{
    if (!has(what))
        cr_skip("no %s in this build or kernel", what);
}

// --- System calls

static long run_a_program(void)
{
    char *const arguments[] = {(char *)(uintptr_t) "true", NULL};
    return execve("/bin/true", arguments, NULL);
}
static long start_a_process(void)
{
    return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}
static long be_traced(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}
static long read_a_process(void)
{
    return syscall(SYS_process_vm_readv, getpid(), 0, 0, 0, 0, 0);
}
static long load_a_program(void)
{
    union bpf_attr attributes = {0};
    return syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes));
}
static long make_a_map(void)
{
    union bpf_attr attributes = {0};
    return syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes));
}
static long read_a_map(void)
{
    union bpf_attr attributes = {.map_fd = 1000};
    return syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attributes, sizeof(attributes));
}
static long set_up_io_uring(void)
{
    static char parameters[256];
    return syscall(SYS_io_uring_setup, 1, parameters);
}
static long open_a_connection(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}
static long open_a_raw_socket(void)
{
    return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 255);
}
static long open_a_packet_socket(void)
{
    return socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}
static long ask_of_an_interface(void)
{
    return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}
static long type_into_a_terminal(void)
{
    return ioctl(0, TIOCSTI, "x");
}
static long become_root(void)
{
    return setuid(0);
}
static long mount_something(void)
{
    return mount("none", base, "tmpfs", 0, NULL);
}
static long enter_a_namespace(void)
{
    return unshare(CLONE_NEWUSER);
}
static long signal_another(void)
{
    return kill(getppid(), 0);
}
static long signal_another_thread(void)
{
    return syscall(SYS_tgkill, getppid(), getppid(), 0);
}
static long have_the_kernel_signal(void)
{
    return fcntl(STDERR_FILENO, F_SETOWN, getppid());
}
static long choose_the_signal(void)
{
    return fcntl(STDERR_FILENO, F_SETSIG, SIGKILL);
}
static long begin_to_signal(void)
{
    return fcntl(STDERR_FILENO, F_SETFL, O_ASYNC);
}
static long ask_for_flags(void)
{
    return fcntl(STDERR_FILENO, F_GETFL);
}
static long lock_a_byte(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    return fcntl(fileno(told), F_OFD_SETLK, &lock);
}
static long be_dumpable(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}
static long handle_signals(void)
{
    return signal(SIGSYS, SIG_IGN) == SIG_ERR ? -1 : 0;
}
static long take_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = 1, .permitted = 1}};
    return syscall(SYS_capset, &header, data);
}
static long map_code(void)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? -1 : 0;
}
static long make_memory_code(void)
{
    static char memory[8192];
    void *page = (void *)(((uintptr_t)memory + 4095) & ~(uintptr_t)4095);
    return mprotect(page, 4096, PROT_READ | PROT_EXEC);
}
static long map_memory(void)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? -1 : 0;
}
static long yield_and_sleep(void)
{
    const struct timespec short_time = {.tv_nsec = 1000};
    return sched_yield() || nanosleep(&short_time, NULL) || write(2, "x", 1) != 1 ? -1 : 0;
}
static long send_nothing(void)
{
    return sendto(1000, NULL, 0, MSG_DONTWAIT, NULL, 0);
}

static long ask_who_steers_the_clock(void)
{
    struct timex state = {.modes = 0};
    return clock_adjtime(CLOCK_REALTIME, &state);
}
// As it is already: where that is let through it does no harm.
static long steer_the_clock(void)
{
    struct timex state = {.modes = 0};
    if (clock_adjtime(CLOCK_REALTIME, &state) < 0)
        return -1;
    state.modes = ADJ_FREQUENCY;
    return clock_adjtime(CLOCK_REALTIME, &state);
}
static long ask_of_another_clock(void)
{
    struct timex state = {.modes = 0};
    return clock_adjtime(CLOCK_MONOTONIC, &state);
}

static const struct {
    const char *name;
    attempt_fn *attempt;
    int expected[SANDBOX_KIND_COUNT]; // loop, journal, files, main, control, logins
} calls[] = {
    {"run a program", run_a_program, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"start a process", start_a_process, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"be traced", be_traced, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"read a process", read_a_process, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"load a program into the kernel", load_a_program, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"make a BPF map", make_a_map, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"read a BPF map", read_a_map, {DIES, DIES, DIES, EBADF, EBADF, DIES}},
    {"set up io_uring", set_up_io_uring, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"open a connection", open_a_connection, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"open a raw socket", open_a_raw_socket, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"open a packet socket", open_a_packet_socket, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"ask of an interface", ask_of_an_interface, {DIES, DIES, DIES, 0, DIES, DIES}},
    {"type into a terminal", type_into_a_terminal, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"become root", become_root, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"mount", mount_something, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"enter a namespace", enter_a_namespace, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"signal another process", signal_another, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"signal its thread", signal_another_thread, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"own a descriptor's signals", have_the_kernel_signal, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"choose a descriptor's signal", choose_the_signal, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"have a descriptor signal", begin_to_signal, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"ask for a descriptor's flags", ask_for_flags, {DIES, DIES, 0, 0, DIES, DIES}},
    {"lock a byte", lock_a_byte, {DIES, DIES, DIES, 0, DIES, DIES}},
    {"be dumpable again", be_dumpable, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"take the handler away", handle_signals, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"take capabilities", take_capabilities, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"map code", map_code, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"make memory code", make_memory_code, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"map memory", map_memory, {0, 0, 0, 0, 0, 0}},
    {"send", send_nothing, {EBADF, DIES, DIES, DIES, EBADF, DIES}},
    {"ask who steers the clock", ask_who_steers_the_clock, {DIES, DIES, DIES, 0, DIES, DIES}},
    {"steer the clock", steer_the_clock, {DIES, DIES, DIES, EPERM, DIES, DIES}},
    {"ask of another clock", ask_of_another_clock, {DIES, DIES, DIES, DIES, DIES, DIES}},
    {"yield, sleep and say something", yield_and_sleep, {0, 0, 0, 0, 0, 0}},
};

Test(sandbox, system_calls_beyond_the_list_of_each_kind_end_the_process)
{
    need("seccomp");
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        for (unsigned kind = 0; kind < SANDBOX_KIND_COUNT; kind++) {
            int found = outcome(attempt_in((enum sandbox_kind)kind, calls[i].attempt));
            cr_expect_eq(found, calls[i].expected[kind], "%s, kind %u: %d instead of %d, %s",
                         calls[i].name, kind, found, calls[i].expected[kind], said());
        }
}

Test(sandbox, the_last_line_names_the_call_and_the_thread)
{
    char expected[80];
    need("seccomp");
    snprintf(expected, sizeof(expected), "sluice: a thread (journal) made system call %d, which",
             SYS_execve);
    cr_assert_eq(outcome(attempt_in(SANDBOX_JOURNAL, run_a_program)), DIES);
    cr_assert_eq(strncmp(said(), expected, strlen(expected)), 0, "%s", said());
    cr_assert_not_null(strstr(said(), "the process ends\n"));
}

static long break_an_invariant(void)
{
    INVARIANT(getpid() == 0);
    return 0;
}

Test(sandbox, a_broken_invariant_still_says_what_it_is)
{
    for (unsigned kind = 0; kind < SANDBOX_KIND_COUNT; kind++) {
        int status = attempt_in((enum sandbox_kind)kind, break_an_invariant);
        cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "kind %u: %x %s", kind,
                  status, said());
        cr_expect_not_null(strstr(said(), "invariant broken"), "kind %u: %s", kind, said());
    }
}

#ifdef __x86_64__
static long make_a_32_bit_call(void)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20 /* getpid */) : "memory");
    return result;
}

Test(sandbox, calls_of_another_architecture_are_no_way_around)
{
    need("seccomp");
    for (unsigned kind = 0; kind < SANDBOX_KIND_COUNT; kind++)
        cr_expect_eq(outcome(attempt_in((enum sandbox_kind)kind, make_a_32_bit_call)), DIES);
}
#endif

// A socket that was open before is no way to those of other processes.
static int abstract_socket;
static const struct sockaddr_un abstract_address = {.sun_family = AF_UNIX,
                                                    .sun_path = "\0test_sandbox"};

static long send_to_abstract(void)
{
    return sendto(abstract_socket, "x", 1, MSG_DONTWAIT, (const struct sockaddr *)&abstract_address,
                  sizeof(abstract_address));
}

Test(sandbox, abstract_sockets_of_others_are_out_of_reach)
{
    need("landlock");
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 6)
        cr_skip("before Linux 6.12");
    int other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    abstract_socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(other, (const struct sockaddr *)&abstract_address, sizeof(abstract_address)),
                 0);
    cr_assert_eq(send_to_abstract(), 1);
    cr_expect_eq(outcome(attempt_in(SANDBOX_LOOP, send_to_abstract)), EPERM);
    close(abstract_socket);
    close(other);
}

// --- Files

static long open_in(const char *folder, const char *name, int flags)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return openat(AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}
static long move(const char *from, const char *to, const char *new_name)
{
    char old_path[128], new_path[128];
    snprintf(old_path, sizeof(old_path), "%s/file", from);
    snprintf(new_path, sizeof(new_path), "%s/%s", to, new_name);
    return renameat2(AT_FDCWD, old_path, AT_FDCWD, new_path, RENAME_NOREPLACE);
}
static long remove_in(const char *folder)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/file", folder);
    int result = unlinkat(AT_FDCWD, path, 0), why = errno;
    if (result == 0)
        return 0;
    errno = why;
    return -1;
}
static long read_the_journal(void)
{
    return open_in(journal, "file", O_RDONLY);
}
static long write_the_journal(void)
{
    return open_in(journal, "file", O_RDWR | O_DSYNC);
}
static long make_a_segment(void)
{
    return open_in(journal, "new", O_WRONLY | O_CREAT | O_EXCL);
}
static long list_the_journal(void)
{
    long fd = open_in(journal, ".", O_RDONLY | O_DIRECTORY);
    DIR *folder = fd < 0 ? NULL : fdopendir((int)fd);
    return folder && readdir(folder) ? closedir(folder) : -1;
}
static long rename_a_segment(void)
{
    return move(journal, journal, "renamed");
}
static long remove_a_segment(void)
{
    return remove_in(journal);
}
static long read_outside(void)
{
    return open_in(outside, "file", O_RDONLY);
}
static long write_outside(void)
{
    return open_in(outside, "file", O_WRONLY);
}
static long make_outside(void)
{
    return open_in(outside, "new", O_WRONLY | O_CREAT | O_EXCL);
}
static long list_outside(void)
{
    return open_in(outside, ".", O_RDONLY | O_DIRECTORY);
}
static long climb_out(void)
{
    return open_in(journal, "../outside/file", O_RDONLY);
}
static long read_the_passwords(void)
{
    return open_in("/etc", "passwd", O_RDONLY);
}
static long read_own_memory(void)
{
    return open_in("/proc/self", "mem", O_RDWR);
}
static long move_out(void)
{
    return move(journal, outside, "stolen");
}
static long move_in(void)
{
    return move(outside, journal, "stolen");
}
static long remove_outside(void)
{
    return remove_in(outside);
}
static long remove_removable(void)
{
    return remove_in(removable);
}
static long read_removable(void)
{
    return open_in(removable, "file", O_RDONLY);
}
static long make_removable(void)
{
    return open_in(removable, "new", O_WRONLY | O_CREAT);
}

static const struct {
    const char *name;
    attempt_fn *attempt;
    int expected; // of a thread that works with files
} file_attempts[] = {
    {"read the journal", read_the_journal, 0},
    {"write it", write_the_journal, 0},
    {"make a segment", make_a_segment, 0},
    {"list the folder", list_the_journal, 0},
    {"rename a segment", rename_a_segment, 0},
    {"remove a segment", remove_a_segment, 0},
    {"read outside", read_outside, EACCES},
    {"write outside", write_outside, EACCES},
    {"make a file outside", make_outside, EACCES},
    {"list a folder outside", list_outside, EACCES},
    {"climb out by dots", climb_out, EACCES},
    {"read /etc/passwd", read_the_passwords, EACCES},
    {"open /proc/self/mem", read_own_memory, EACCES},
    {"move a file out", move_out, EACCES},
    {"move a file in", move_in, EACCES},
    {"remove outside", remove_outside, EACCES},
    {"remove where only that is allowed", remove_removable, 0},
    {"read there", read_removable, EACCES},
    {"make a file there", make_removable, EACCES},
};

static void make_all_files(void)
{
    empty_folder(journal);
    cr_assert_eq(mkdir(journal, 0777), 0);
    make_file(journal);
    make_file(removable);
    make_file(outside);
}

Test(sandbox, files_are_to_be_had_in_the_folders_that_were_named_and_nowhere_else)
{
    need("landlock");
    for (size_t i = 0; i < sizeof(file_attempts) / sizeof(file_attempts[0]); i++)
        for (unsigned kind = SANDBOX_FILES; kind <= SANDBOX_MAIN; kind++) {
            make_all_files();
            int found = outcome(attempt_in((enum sandbox_kind)kind, file_attempts[i].attempt));
            cr_expect_eq(found, file_attempts[i].expected, "%s, kind %u: %d instead of %d, %s",
                         file_attempts[i].name, kind, found, file_attempts[i].expected, said());
        }
}

Test(sandbox, a_loop_opens_nothing_and_the_journals_thread_makes_nothing_outside)
{
    need("landlock");
    cr_expect_eq(outcome(attempt_in(SANDBOX_LOOP, read_the_journal)), DIES);
    cr_expect_eq(outcome(attempt_in(SANDBOX_LOOP, read_outside)), DIES);
    cr_expect_eq(outcome(attempt_in(SANDBOX_JOURNAL, write_the_journal)), 0);
    cr_expect_eq(outcome(attempt_in(SANDBOX_JOURNAL, make_outside)), EACCES);
    cr_expect_eq(outcome(attempt_in(SANDBOX_JOURNAL, remove_a_segment)), DIES);
}

// --- The process

// A process that is shut in as main until it is let go. Its pid; `end` is to be written to.
static pid_t shut_in_and_wait(int *end, uid_t user)
{
    int ready[2], go[2];
    char byte = 0;
    cr_assert(pipe(ready) == 0 && pipe(go) == 0);
    pid_t child = fork();
    if (child == 0) {
        if (user && (setgroups(0, NULL) || setresgid(user, user, user) ||
                     setresuid(user, user, user) || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)))
            _exit(124);
        prepare();
        sandbox_thread(SANDBOX_MAIN);
        _exit(write(ready[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 1 ? 0 : 1);
    }
    close(ready[1]);
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    *end = go[1];
    return child;
}

static void let_go(pid_t child, int end)
{
    int status;
    cr_assert_eq(write(end, "", 1), 1);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", status);
}

static unsigned long long status_field(pid_t process, const char *name)
{
    char path[64], line[256];
    unsigned long long value = 0xDEAD;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)process);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof(line), file))
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtoull(line + strlen(name), NULL, 16);
    fclose(file);
    return value;
}

Test(sandbox, leaves_no_capability_in_any_set_and_no_way_to_new_ones)
{
    static const char *const sets[] = {"CapEff:", "CapPrm:", "CapInh:", "CapAmb:"};
    int end;
    pid_t child = shut_in_and_wait(&end, 0);
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        cr_expect_eq(status_field(child, sets[i]), 0, "%s", sets[i]);
    if (geteuid() == 0)
        cr_expect_eq(status_field(child, "CapBnd:"), 0);
    cr_expect_eq(status_field(child, "NoNewPrivs:"), 1);
    let_go(child, end);
}

// The kernel gives the files of a process in /proc to root when it may not be looked into.
Test(sandbox, cannot_be_looked_into_by_processes_of_the_same_user)
{
    int end;
    char path[64];
    struct stat status;
    need("seccomp");
    if (geteuid() != 0)
        cr_skip("not root");
    pid_t child = shut_in_and_wait(&end, NOBODY);
    snprintf(path, sizeof(path), "/proc/%d/environ", (int)child);
    cr_assert_eq(stat(path, &status), 0);
    cr_expect_eq(status.st_uid, 0);
    let_go(child, end);
}

static void *shut_in(void *argument)
{
    sandbox_thread(SANDBOX_LOOP);
    return argument;
}

static long work_on_beside_one_that_is_shut_in(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, shut_in, NULL) || pthread_join(thread, NULL))
        return -1;
    return read_outside();
}

Test(sandbox, a_thread_shuts_in_itself_and_no_other)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        prepare();
        _exit(work_on_beside_one_that_is_shut_in() >= 0 ? 0 : errno);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(outcome(status), 0);
}

static pid_t drivers_thread;

static void *wait_for_interrupts(void *barrier)
{
    drivers_thread = gettid();
    pthread_barrier_wait(barrier);
    while (pause() == -1)
        ;
    return barrier;
}

// What a process says that has a driver's thread when it is shut in; its exit status is whether
// that one has given up everything.
static const char *shut_in_with_driver(bool blocked, bool *gave_up)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct error error;
        pthread_t thread;
        pthread_barrier_t barrier;
        sigset_t all;
        dup2(fileno(told), STDERR_FILENO);
        pthread_barrier_init(&barrier, NULL, 2);
        sigfillset(&all);
        if (blocked)
            pthread_sigmask(SIG_BLOCK, &all, NULL);
        pthread_create(&thread, NULL, wait_for_interrupts, &barrier);
        pthread_barrier_wait(&barrier);
        if (sandbox_process(NULL, 0, true, &error))
            _exit(125);
        bool gone = status_field(drivers_thread, "CapEff:") == 0 &&
                    status_field(drivers_thread, "CapPrm:") == 0 &&
                    status_field(drivers_thread, "CapBnd:") == 0 &&
                    status_field(drivers_thread, "NoNewPrivs:") == 1;
        _exit(gone);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) <= 1, "%x %s", status, said());
    *gave_up = WEXITSTATUS(status);
    return said();
}

Test(sandbox, a_thread_that_a_driver_has_started_before_gives_up_its_capabilities)
{
    bool gave_up;
    need("seccomp");
    if (geteuid() != 0)
        cr_skip("not root");
    cr_assert_str_eq(shut_in_with_driver(false, &gave_up), "");
    cr_assert(gave_up);
}

Test(sandbox, a_drivers_thread_that_blocks_signals_is_told_of)
{
    bool gave_up;
    need("seccomp");
    if (geteuid() != 0)
        cr_skip("not root");
    const char *warned = shut_in_with_driver(true, &gave_up);
    cr_assert_not_null(strstr(warned, "a driver's, keeps its capabilities"), "%s", warned);
    cr_assert_not(gave_up);
}

Test(sandbox, is_off_until_the_process_has_prepared_it)
{
    cr_assert_str_eq(sandbox_state(), "off");
    sandbox_thread(SANDBOX_LOOP);
    cr_assert_geq(read_outside(), 0);
    prepare();
    cr_assert_eq(strncmp(sandbox_state(), "no capabilities", 15), 0, "%s", sandbox_state());
    cr_assert_geq(read_outside(), 0);
}

Test(sandbox, a_folder_that_is_not_there_is_an_error_that_names_it)
{
    struct error error;
    const struct sandbox_folder nowhere = {.path = "/no/such/folder"};
    need("landlock");
    cr_assert_eq(sandbox_process(&nowhere, 1, false, &error), -1);
    cr_assert_not_null(strstr(error.text, "/no/such/folder: No such file"), "%s", error.text);
}
