// SPDX-License-Identifier: MIT
//
// replay: recorded input applied offline, and what came of it. The same input gives the same events
// and the same state, to the byte.
#ifndef SLUICE_DATAPLANE_REPLAY_H
#define SLUICE_DATAPLANE_REPLAY_H

#include <stdbool.h>

#include "book/book.h"
#include "numa/arena.h"
#include "numa/error.h"

#define REPLAY_SPACE 1024u
#define REPLAY_BATCH 64u

struct replay {
    struct arena memory;
    struct book *book; // NULL until the opening of a day
    struct event_sink sink;
    struct event space[REPLAY_SPACE];
    struct command batch[REPLAY_BATCH]; // to be applied together
    uint32_t batch_count;
    bool print_events;      // a line each on stdout
    uint64_t until_seq;     // journals: the last record to be applied; 0: all
    uint64_t until_time_ns; // … that came no later than so long after midnight; 0: all
    uint64_t midnight_ns;   // of the journal's day
    uint64_t event_count;
    uint64_t event_hash; // of every byte of every event, in order
    uint64_t lanes[4];   // what it is made of
    uint64_t
        other_count; // packets of a capture that were not for a shard, or not fit to be looked at
    struct error error;
};

// replay_init: nothing applied yet. `replay` stays where it is from here on. replay_close frees the
// book.
void replay_init(struct replay *replay, bool print_events);
void replay_close(struct replay *replay);

// replay_command: apply one, soon; the first opens the day. False with replay->error when it does
// not.
bool replay_command(struct replay *replay, const struct command *command);

// replay_event: take one into account that was applied elsewhere.
void replay_event(struct replay *replay, const struct event *event);

// replay_finish: all is applied and the last events are taken; call before the counts are read.
void replay_finish(struct replay *replay);

// replay_journal: every record of the journal in the folder `directory`. 0, or -1 with
// replay->error.
int replay_journal(struct replay *replay, const char *directory);

// replay_tape: a LOBSTER or ITCH file as `sluice load` reads it; `symbol` (NULL: none given) is the
// instrument of a file that does not name its own.
int replay_tape(struct replay *replay, const char *path, const char *symbol);

// replay_capture: the order packets of a pcap file, to shard 0 of the configuration `config_path`:
// through the packet parser, the UFO sessions and the OUCH decoder, with the packets' own times.
// Where the shard's own packets are in the file too, as `sluice capture --config` has them, the day
// has the name that they tell, and the state is the captured gateway's to the bit.
// What is sent goes to the pcap `output` (NULL: nowhere).
int replay_capture(struct replay *replay, const char *path, const char *config_path,
                   const char *output);

#endif
