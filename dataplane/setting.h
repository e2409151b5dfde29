// SPDX-License-Identifier: MIT
//
// setting: one thing about this host that can be set and put back: a file of /sys or /proc, a
// folder, or something that ethtool(8) or hwstamp_ctl(8) sets. Its value is text: what the file
// says, or the words of ethtool's command line. Every change is printed as the line of shell that
// does the same. Set-up only.
#ifndef SLUICE_DATAPLANE_SETTING_H
#define SLUICE_DATAPLANE_SETTING_H

#include <stdbool.h>
#include <stdio.h>

#include "dataplane/ethtool.h"
#include "numa/error.h"

#define SETTING_VALUE_SIZE ETHTOOL_VALUE_SIZE

enum setting_kind {
    SETTING_FILE,       // `target` is a path, the value its first line
    SETTING_FOLDER,     // `target` is a path; "there", "none"
    SETTING_CONTROLLER, // `target` is a cgroup.subtree_control, `name` "cpuset"; "+cpuset",
                        // "-cpuset"
    // `target` is an interface:
    SETTING_CHANNELS, // "combined 4", "rx 4 tx 4"
    SETTING_FEATURE,  // `name` "gro"; "on", "off"
    SETTING_COALESCE, // `name` "rx-usecs"; a number, "on", "off"
    SETTING_RULE,   // `name` "dst-ip 10.0.0.1 dst-port 26400"; "action 2", "action 2 loc 9", "none"
    SETTING_STAMPS, // as hwstamp_ctl has it: "-t 1 -r 1"; of sent, of received packets
    SETTING_TABLE,  // of RSS: "default", "equal 2 start 2", "weight 0 1 1"
    SETTING_KIND_COUNT,
};

struct setting {
    enum setting_kind kind;
    char target[160];
    char name[64];
};

struct setting_host {
    const char *root; // put before paths: "" for this host
    bool dry_run;     // say what would be done, and do nothing
    FILE *stream;     // where it is said
};

// setting_kind_name, setting_kind_named: a kind as a word, for records. SETTING_KIND_COUNT for a
// word that is none.
const char *setting_kind_name(enum setting_kind kind);
enum setting_kind setting_kind_named(const char *word);

// setting_read: its value now. 0, or -1 with `why` it cannot be had on this host.
int setting_read(const struct setting_host *host, const struct setting *setting,
                 char value[SETTING_VALUE_SIZE], struct error *why);

// setting_is: whether `value`, as read, is as good as `wanted`. A rule may stand in any place, and
// an RSS table may have other weights on the same queues.
bool setting_is(const struct setting *setting, const char *value, const char *wanted);

enum setting_result {
    SETTING_DONE,
    SETTING_REFUSED, // by the driver or the kernel, which cannot do it
    SETTING_FAILED,
};

// setting_write: print how, set it, and see that it took. With `error` when it is not done. A value
// that did not take in full (too few huge pages) may have been set in part.
enum setting_result setting_write(const struct setting_host *host, const struct setting *setting,
                                  const char *value, struct error *error);

// setting_gone: what it belongs to is no longer there, and nothing is to be put back.
bool setting_gone(const struct setting_host *host, const struct setting *setting);

// setting_interface_there: whether there is such an interface.
bool setting_interface_there(const struct setting_host *host, const char *interface);

// setting_first_line: of a file below `root`, without its end. 0, or -1 with errno.
int setting_first_line(const char *root, const char *path, char *line, size_t size);

#endif
