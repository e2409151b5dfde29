// SPDX-License-Identifier: MIT
//
// stages: what there is to prepare on a host, as lists of settings and the values they should have.
// Private to configure.c, which does the rest.
#ifndef SLUICE_DATAPLANE_STAGES_H
#define SLUICE_DATAPLANE_STAGES_H

#include <jansson.h>

#include "dataplane/configure.h"
#include "dataplane/plan.h"
#include "dataplane/setting.h"

struct configuring {
    enum configure_verb verb;
    struct setting_host host;
    const struct config *config;
    const struct topology *topology;
    const struct plan *plan;
    json_t *changes; // made by us and not put back yet, the oldest first
    char record[192];
    FILE *error;
    const char *stage;    // the one at work
    uint32_t step_count;  // of this stage: changes made
    uint32_t line_count;  // … lines about what is not as it should be
    uint32_t wrong_count; // of all: what makes the exit status 1
};

struct stage {
    const char *name;
    void (*list)(struct configuring *configuring);
    bool needs_ethtool;
    bool named_only; // not among "all"
};

// In the order of init, NULL name at the end.
extern const struct stage stages[];

// Those of interfaces, in stages_nic.c.
void stages_list_channels(struct configuring *configuring);
void stages_list_steering(struct configuring *configuring);
void stages_list_rss(struct configuring *configuring);
void stages_list_coalesce(struct configuring *configuring);
void stages_list_offloads(struct configuring *configuring);
void stages_list_stamps(struct configuring *configuring);
void stages_list_irq(struct configuring *configuring);
void stages_list_busy_poll(struct configuring *configuring);

// stages_want: `setting` should be `value`: say so when it is not, or make it so. True when it is
// in the end (when it would be, in a dry run).
bool stages_want(struct configuring *configuring, const struct setting *setting, const char *value);

// stages_want_file: the same of a file's first line.
__attribute__((format(printf, 3, 4))) bool stages_want_file(struct configuring *configuring,
                                                            const char *value, const char *format,
                                                            ...);

// stages_cannot: a line: this host cannot have what the stage is for.
__attribute__((format(printf, 2, 3))) void stages_cannot(struct configuring *configuring,
                                                         const char *format, ...);

// stages_missing: a line: something can be had and is not configured.
__attribute__((format(printf, 2, 3))) void stages_missing(struct configuring *configuring,
                                                          const char *format, ...);

// stages_failed: a line on the error stream: a step did not work that should.
__attribute__((format(printf, 2, 3))) void stages_failed(struct configuring *configuring,
                                                         const char *format, ...);

// stages_change_of: the last change that init made to `setting` and fini has not undone, or NULL.
const json_t *stages_change_of(const struct configuring *configuring,
                               const struct setting *setting);

#endif
