// SPDX-License-Identifier: MIT
//
// The verbs of the command line. Each takes the arguments from its own name on (argv[0] is the
// verb) and returns the process's exit status: 0, or non-zero after one line on stderr that says
// what was wrong and what to do. Text for people on stdout; with --json one JSON object instead.
#ifndef SLUICE_DATAPLANE_VERBS_H
#define SLUICE_DATAPLANE_VERBS_H

#include <stdbool.h>

#define SLUICE_VERSION "0.1.0"

int verb_run(int argc, char **argv);
int verb_check(int argc, char **argv);
int verb_configure(int argc, char **argv);
int verb_load(int argc, char **argv);
int verb_replay(int argc, char **argv);
int verb_capture(int argc, char **argv);
int verb_journal(int argc, char **argv);
int verb_ctl(int argc, char **argv);
int verb_hash_password(int argc, char **argv);
int verb_make_key(int argc, char **argv);

// verb_config_options: the options of a verb that takes --config FILE and --json alone. False after
// a line on stderr: exit with status 2.
bool verb_config_options(int argc, char **argv, const char **path, bool *json);

#endif
