// SPDX-License-Identifier: MIT
//
// recover: how a lane comes to the state that its journal and snapshots tell of, and how snapshots
// of that state are made. Private to lane.c.
#ifndef SLUICE_DATAPLANE_RECOVER_H
#define SLUICE_DATAPLANE_RECOVER_H

#include "dataplane/lane.h"

// lane_take_stream: memory for one more stream.
void *lane_take_stream(struct lane *lane);

// recover_control: what a control command means to the port's side: a book is opened, a session or
// an instrument is added. Before the book applies it. 0, or -1 with `error`.
int recover_control(struct lane *lane, const struct command *command, struct error *error);

// recover_journal: the newest snapshot that can be used, then the journal's records behind it, into
// a lane that is laid out and empty, and lane->journal ready to be written. 0, or -1 with `error`.
int recover_journal(struct lane *lane, struct error *error);

#endif
