// SPDX-License-Identifier: MIT
//
// configure: prepare this host for a configuration, in stages, and put everything back. What was
// before is kept in /run/sluice/NAME.configure.json, change by change, and written there before
// each is made; undoing goes through it from the end. /run is empty after a boot, and so is what
// was set.
#ifndef SLUICE_DATAPLANE_CONFIGURE_H
#define SLUICE_DATAPLANE_CONFIGURE_H

#include <stdbool.h>
#include <stdio.h>

#include "dataplane/config.h"
#include "numa/topology.h"

enum configure_verb {
    CONFIGURE_INIT,  // set what is not as it should be
    CONFIGURE_CHECK, // say what is not
    CONFIGURE_FINI,  // put back what init found
};

struct configure_options {
    enum configure_verb verb;
    bool dry_run;      // print the commands of init or fini, and change nothing
    char **stages;     // NULL-terminated names; none: all that need not be named
    const char *root;  // put before every path: "" for this host
    FILE *out, *error; // what is done, with the shell's words for it; one line for each failure
};

// configure_stage_names: of all stages, in the order in which init takes them, NULL at the end.
const char *const *configure_stage_names(void);

// configure: do it. Stages must be known ones. The cores of `config` are planned on the way. 0, or
// 1 when init or fini could not do a step that should work, or check found something that can be
// had and is not configured. What the hardware or the kernel cannot do is said, and no failure.
int configure(struct config *config, const struct topology *topology,
              const struct configure_options *options);

#endif
