// SPDX-License-Identifier: MIT
//
// Places where a crash is interesting: the process ends there at once, as by kill -9, when the
// environment variable SLUICE_CRASH names the place ("batch_written"), or on the N-th time that any
// thread comes by ("batch_written:300"). Only in builds with FAULTS=1; elsewhere CRASH_POINT() is
// nothing. A signal keeps what the kernel was given: what a power failure loses is the simulation's
// to show.
#ifndef SLUICE_NUMA_CRASH_H
#define SLUICE_NUMA_CRASH_H

// All of them, by the file they are in; tests/net/test_crash_points.sh goes through this list.
#define CRASH_POINTS(POINT)                                                                        \
    /* journal/journal.c */                                                                        \
    POINT(batch_unwritten)   /* a batch is sealed */                                               \
    POINT(batch_written)     /* it is on disk, its slots in the ring are not released */           \
    POINT(batch_unpublished) /* they are, and nobody knows that it is durable */                   \
    POINT(batch_published)   /* the gate may let its answers through */                            \
    POINT(mark_unwritten)    /* before a block that only says how far all is durable */            \
    POINT(close_marked)      /* after the last one */                                              \
    POINT(segment_unwritten) /* the next segment is taken, and has no header */                    \
    POINT(segment_started)   /* it has */                                                          \
    POINT(spare_unmade)      /* before one is made, or an old segment used again */                \
    POINT(spare_made)        /* there is one, made or used again, that nobody knows of */          \
    POINT(recycle_cleared)   /* the unused end of an old segment is zeros */                       \
    POINT(recycle_unrenamed) /* it is whole, and still in its old place */                         \
    POINT(recycle_renamed)   /* it is in its new one */                                            \
    /* journal/disk.c */                                                                           \
    POINT(create_allocated) /* a new file has its space */                                         \
    POINT(create_unnamed)   /* and its zeros */                                                    \
    POINT(create_unsynced)  /* and its name, which the folder's blocks do not have yet */          \
    POINT(rename_unsynced)  /* likewise a new name */                                              \
    /* journal/snapshot.c */                                                                       \
    POINT(snapshot_created)    /* an empty file */                                                 \
    POINT(snapshot_unfinished) /* between two of its writes */                                     \
    POINT(snapshot_unsynced)   /* all is written */                                                \
    POINT(snapshot_unverified) /* and synced */                                                    \
    POINT(snapshot_unnamed)    /* and read again */                                                \
    POINT(snapshot_named)      /* it counts, and older ones are still there */                     \
    POINT(snapshot_done)       /* they are gone */                                                 \
    /* dataplane/shard.c */                                                                        \
    POINT(commands_unapplied) /* the journal has a batch of commands, the book has not */          \
    POINT(commands_applied)   /* both have */                                                      \
    /* dataplane/gate.c */                                                                         \
    POINT(event_unreleased) /* one may go to its stream */                                         \
    POINT(events_released)  /* all that may have gone */                                           \
    /* dataplane/entry.c */                                                                        \
    POINT(packet_unsent) /* answers are packed */                                                  \
    POINT(packet_sent)   /* and handed to the port */                                              \
    /* dataplane/lane.c */                                                                         \
    POINT(prime_submitted) /* a command of the day's listing has gone all the way */               \
    POINT(prime_unstarted) /* all is listed, and trading has not begun */                          \
    POINT(stop_unmarked)   /* the threads have ended, the log is not marked complete */            \
    /* dataplane/recover.c */                                                                      \
    POINT(recover_loaded) /* the snapshot, if there is one */                                      \
    POINT(recover_record) /* in the middle of the journal */                                       \
    POINT(recover_done)   /* in the new epoch, before the day's listing */

#ifdef SLUICE_FAULTS
#define CRASH_MEMBER(name) CRASH_##name,
enum crash_point { CRASH_none, CRASH_POINTS(CRASH_MEMBER) };
#undef CRASH_MEMBER

extern enum crash_point crash_armed; // read from the environment before main

// crash_reached: the armed place was reached once more. Any thread.
void crash_reached(void);

#define CRASH_POINT(name) (crash_armed == CRASH_##name ? crash_reached() : (void)0)
#else
#define CRASH_POINT(name) ((void)0)
#endif

#endif
