// SPDX-License-Identifier: MIT
//
// sandbox: what a process gives up once it has opened all that it needs, so that a mistake in what
// reads packets is not a way into the host.
//
// - Its capabilities, all of them, and every way to new ones (no_new_privs, bounding set).
// - The file system, but for the folders that it names, and from Linux 6.12 on signals to other
//   processes and their abstract unix sockets (landlock).
// - System calls that a thread of its kind has no use for (seccomp, by lists of what is allowed):
//   exec, ptrace, clone, io_uring, mount, new code in memory are on none; bpf, socket and ioctl on
//   main's alone, and with few arguments, as fcntl is where files are worked with; loops can open
//   nothing. Calls that only tell something are on every list, so that no habit of libc's ends a
//   trading day.
// - Core dumps, and being looked into by other processes of the same user: passwords and orders are
//   in its memory.
//
// Each thread shuts itself in, once it has its priority. Threads share their memory, so who has one
// of them wholly in hand can have another make the calls that are on that one's list; no
// capability, file or call beyond them all is to be had that way.
//
// A call that is not on the list ends the process with SIGSYS, and a line that says which one and
// in which thread. An error code instead would be taken for an answer of the kernel's by code that
// ignores it or tries again, and the venue would go on in a state that nobody has thought of. To
// die is what this house is built for: all that was acknowledged is on disk. It is not
// SECCOMP_RET_KILL_PROCESS, because that tells only the kernel's log, and only where auditing is
// on: the line is printed by a handler. Whoever takes the handler away is killed by the kernel, and
// the call is refused in any case.
//
// Address and thread sanitizers make calls and read files of their own at any time: in builds with
// them seccomp, landlock and the ban on core dumps are left out, and drivers' threads left alone.
#ifndef SLUICE_NUMA_SANDBOX_H
#define SLUICE_NUMA_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "numa/error.h"

// What a thread does, and so which system calls it may make.
enum sandbox_kind {
    SANDBOX_LOOP,    // moves packets on open sockets, sleeps, wakes others
    SANDBOX_JOURNAL, // writes files that are there
    SANDBOX_FILES,   // makes, renames, reads and removes files, and has memory of its own
    SANDBOX_MAIN,    // as FILES; waits for signals, looks at interfaces, the XDP program's maps and
                     // the state of the host's clock
    SANDBOX_CONTROL, // answers on a unix socket, reads the XDP program's counters
    SANDBOX_LOGINS,  // computes, with memory of its own, and wakes others
    SANDBOX_KIND_COUNT,
};

struct sandbox_folder {
    const char *path;
    bool remove_only; // nothing but removing files: else also make, read, write and rename them
};

// sandbox_process: prepare, in the only thread there is: no_new_privs, no core dumps, an empty
// bounding set, the list of each kind compiled and the folders opened for what sandbox_thread does.
// A kernel without landlock is a warning. With `drivers`, which live in user space (DPDK) and call
// and open what they like, calls and files are left alone; the threads that they have started lose
// their capabilities here, and one that blocks signals is a warning. 0, or -1 with `error`. Once.
int sandbox_process(const struct sandbox_folder *folders, size_t count, bool drivers,
                    struct error *error);

// sandbox_thread: shut the calling thread in. From then on its capabilities are gone, and so are
// files and calls beyond its kind's; threads that it would start inherit that. Does nothing where
// sandbox_process was not called; the process ends, with a line, where it cannot be done. The bpf()
// calls that main keeps need no capability from Linux 5.19 on.
void sandbox_thread(enum sandbox_kind kind);

// sandbox_state: for people: "off", or what is in force in threads that are shut in.
const char *sandbox_state(void);

#endif
