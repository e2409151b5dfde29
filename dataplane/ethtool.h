// SPDX-License-Identifier: MIT
//
// ethtool: ethtool(8) run as a program, and what it prints, read. Drivers and kernels differ in how
// they are asked (ioctl, netlink) and ethtool knows them all; its text has kept its form for
// fifteen years. Set-up only: processes are started. The readers are pure.
#ifndef SLUICE_DATAPLANE_ETHTOOL_H
#define SLUICE_DATAPLANE_ETHTOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "numa/error.h"

#define ETHTOOL_OUTPUT_MAX (64u << 10)
#define ETHTOOL_VALUE_SIZE 1024u // of a value in the words of ethtool's command line
#define ETHTOOL_QUEUES_MAX 256u

// ethtool_there: there is such a program in PATH, /usr/sbin or /sbin.
bool ethtool_there(void);

// ethtool_run: `words` is the command line from "ethtool" on, NULL at its end. What it prints,
// errors included, goes into `output`. Its exit status, or -1 with `error` when it could not be
// started.
int ethtool_run(const char *const *words, char output[ETHTOOL_OUTPUT_MAX], struct error *error);

// Numbers of channels; -1 where the driver does not count that kind (n/a).
struct ethtool_channels_now {
    int rx, tx, combined;
    int rx_max, tx_max, combined_max;
};

// ethtool_read_channels: out of `ethtool -l`. False when there are none in it.
bool ethtool_read_channels(const char *output, struct ethtool_channels_now *channels);

// ethtool_read_feature: whether a feature, by its short or long name, is `on`, and `fixed` so, out
// of `ethtool -k`. False when this kernel or driver has no such feature.
bool ethtool_read_feature(const char *output, const char *name, bool *on, bool *fixed);

// ethtool_read_coalesce: "adaptive-rx" or a number as "rx-usecs", out of `ethtool -c`. False when
// the driver has no such value.
bool ethtool_read_coalesce(const char *output, const char *name, char value[ETHTOOL_VALUE_SIZE]);

// ethtool_read_rule: "action 2 loc 1023" for the rule of UDP packets to `destination` ("dst-ip
// 10.0.0.1 dst-port 26400"), whatever their source, out of `ethtool -n`, or "none". False when the
// driver has no rules, or the rule does something that ethtool could not restore.
bool ethtool_read_rule(const char *output, const char *destination, char value[ETHTOOL_VALUE_SIZE]);

// ethtool_read_table: the RSS indirection table out of `ethtool -x`, as the words for `ethtool -X`
// that make the very same: "default", "equal 2 start 2", "weight 0 0 1 1". False when the driver
// shows none, or one that ethtool has no words for.
bool ethtool_read_table(const char *output, char value[ETHTOOL_VALUE_SIZE]);

// ethtool_table_uses: whether a table in such words sends anything to `queue`.
bool ethtool_table_uses(const char *value, uint32_t queue);

#endif
