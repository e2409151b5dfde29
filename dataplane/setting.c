// SPDX-License-Identifier: MIT
#include "dataplane/setting.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/nic.h"
#include "numa/invariant.h"

#define WORDS_MAX (ETHTOOL_QUEUES_MAX + 16u)

static const struct {
    const char *name;
    const char *show, *set; // ethtool's
    const char *what;       // in a line that says that there is none
} kinds[SETTING_KIND_COUNT] = {
    [SETTING_FILE] = {"file", NULL, NULL, NULL},
    [SETTING_FOLDER] = {"folder", NULL, NULL, NULL},
    [SETTING_CONTROLLER] = {"controller", NULL, NULL, NULL},
    [SETTING_CHANNELS] = {"channels", "-l", "-L", "channels"},
    [SETTING_FEATURE] = {"feature", "-k", "-K", NULL},
    [SETTING_COALESCE] = {"coalesce", "-c", "-C", NULL},
    [SETTING_RULE] = {"rule", "-n", "-N", "ntuple filters"},
    [SETTING_STAMPS] = {"stamps", NULL, NULL, "clock of its own that stamps packets"},
    [SETTING_TABLE] = {"rss", "-x", "-X", "RSS table that ethtool could put back"},
};

const char *setting_kind_name(enum setting_kind kind)
{
    return kinds[kind].name;
}

enum setting_kind setting_kind_named(const char *word)
{
    enum setting_kind kind = 0;
    while (kind < SETTING_KIND_COUNT && strcmp(kinds[kind].name, word) != 0)
        kind++;
    return kind;
}

static bool by_ethtool(const struct setting *setting)
{
    return kinds[setting->kind].set != NULL;
}

int setting_first_line(const char *root, const char *path, char *line, size_t size)
{
    char full[PATH_MAX];
    snprintf(full, sizeof(full), "%s%s", root, path);
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, line, size - 1);
    int why = errno;
    close(fd);
    errno = why;
    if (got < 0)
        return -1;
    line[got] = 0;
    line[strcspn(line, "\n")] = 0;
    return 0;
}

static int no_such(const struct setting *setting, const char *what, struct error *why)
{
    char driver[32];
    nic_driver(setting->target, driver);
    return error_set(why, "%s (%s) has no %s", setting->target, driver[0] ? driver : "no driver",
                     what);
}

static int read_feature(const struct setting *setting, const char *output,
                        char value[SETTING_VALUE_SIZE], struct error *why)
{
    bool on, fixed;
    if (!ethtool_read_feature(output, setting->name, &on, &fixed))
        return no_such(setting, setting->name, why);
    snprintf(value, SETTING_VALUE_SIZE, "%s%s", on ? "on" : "off", fixed ? " [fixed]" : "");
    return 0;
}

static int read_by_ethtool(const struct setting *setting, char value[SETTING_VALUE_SIZE],
                           struct error *why)
{
    char output[ETHTOOL_OUTPUT_MAX];
    struct ethtool_channels_now channels;
    const char *words[] = {"ethtool", kinds[setting->kind].show, setting->target, NULL};
    bool found = false;
    if (ethtool_run(words, output, why) < 0)
        return -1;
    switch (setting->kind) {
    case SETTING_CHANNELS:
        found = ethtool_read_channels(output, &channels);
        if (found && channels.combined > 0)
            snprintf(value, SETTING_VALUE_SIZE, "combined %d", channels.combined);
        else if (found)
            snprintf(value, SETTING_VALUE_SIZE, "rx %d tx %d", channels.rx, channels.tx);
        break;
    case SETTING_FEATURE:
        return read_feature(setting, output, value, why);
    case SETTING_COALESCE:
        return ethtool_read_coalesce(output, setting->name, value)
                   ? 0
                   : no_such(setting, setting->name, why);
    case SETTING_RULE:
        found = ethtool_read_rule(output, setting->name, value);
        break;
    default:
        found = ethtool_read_table(output, value);
    }
    return found ? 0 : no_such(setting, kinds[setting->kind].what, why);
}

static bool has_word(const char *line, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = line; *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (strcspn(at, " ") == length && strncmp(at, word, length) == 0)
            return true;
    return false;
}

static int read_stamps(const struct setting *setting, char value[SETTING_VALUE_SIZE],
                       struct error *why)
{
    int sent, received;
    if (nic_read_stamping(setting->target, &sent, &received))
        return no_such(setting, kinds[setting->kind].what, why);
    snprintf(value, SETTING_VALUE_SIZE, "-t %d -r %d", sent, received);
    return 0;
}

int setting_read(const struct setting_host *host, const struct setting *setting,
                 char value[SETTING_VALUE_SIZE], struct error *why)
{
    char line[SETTING_VALUE_SIZE], path[PATH_MAX];
    if (by_ethtool(setting))
        return read_by_ethtool(setting, value, why);
    if (setting->kind == SETTING_STAMPS)
        return read_stamps(setting, value, why);
    if (setting->kind == SETTING_FOLDER) {
        snprintf(path, sizeof(path), "%s%s", host->root, setting->target);
        snprintf(value, SETTING_VALUE_SIZE, "%s", access(path, F_OK) ? "none" : "there");
        return 0;
    }
    if (setting_first_line(host->root, setting->target, line, sizeof(line)))
        return error_set(why, "%s: %s", setting->target, strerror(errno));
    if (setting->kind == SETTING_CONTROLLER)
        snprintf(value, SETTING_VALUE_SIZE, "%c%s", has_word(line, setting->name) ? '+' : '-',
                 setting->name);
    else
        memcpy(value, line, sizeof(line));
    return 0;
}

bool setting_is(const struct setting *setting, const char *value, const char *wanted)
{
    size_t length = strlen(wanted);
    if (strcmp(value, wanted) == 0)
        return true;
    if (setting->kind == SETTING_FEATURE) // "off [fixed]"
        return strncmp(value, wanted, length) == 0 && value[length] == ' ';
    if (setting->kind == SETTING_RULE)
        return strstr(wanted, " loc ") == NULL && strncmp(value, wanted, length) == 0 &&
               value[length] == ' ';
    if (setting->kind != SETTING_TABLE || !strcmp(value, "default") || !strcmp(wanted, "default"))
        return false;
    for (uint32_t queue = 0; queue < ETHTOOL_QUEUES_MAX; queue++)
        if (ethtool_table_uses(value, queue) && !ethtool_table_uses(wanted, queue))
            return false;
    return true;
}

// Words of a command line, and the texts they stand in.
struct command {
    uint32_t count;
    const char *words[WORDS_MAX];
    char text[2 * SETTING_VALUE_SIZE];
    size_t used;
};

static void say_words(struct command *command, const char *words)
{
    size_t length = strlen(words) + 1;
    INVARIANT(command->used + length <= sizeof(command->text));
    char *text = memcpy(command->text + command->used, words, length), *rest;
    command->used += length;
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        INVARIANT(command->count + 1 < WORDS_MAX);
        command->words[command->count++] = word;
        command->words[command->count] = NULL;
    }
}

// What drivers and the kernel say when they cannot, as against will not.
static bool cannot(const char *message)
{
    return strcasestr(message, "not supported") ||
           strstr(message, "Could not change any device features");
}

// The lines of a message as one.
static void join_lines(char *message)
{
    size_t length = strlen(message);
    while (length > 0 && message[length - 1] == '\n')
        message[--length] = 0;
    for (char *end = strchr(message, '\n'); end; end = strchr(end, '\n'))
        *end = ' ';
}

static enum setting_result run_ethtool(const struct setting_host *host,
                                       const struct command *command, struct error *error)
{
    char output[ETHTOOL_OUTPUT_MAX];
    fprintf(host->stream, "RUN:");
    for (uint32_t i = 0; i < command->count; i++)
        fprintf(host->stream, " %s", command->words[i]);
    fprintf(host->stream, "\n");
    fflush(host->stream);
    if (host->dry_run)
        return SETTING_DONE;
    int status = ethtool_run(command->words, output, error);
    if (status == 0)
        return SETTING_DONE;
    if (status < 0)
        return SETTING_FAILED;
    join_lines(output);
    error_set(error, "%s: ethtool says: %.300s", command->words[2], output);
    return cannot(output) ? SETTING_REFUSED : SETTING_FAILED;
}

// A rule is replaced by deleting the one that is there, in its place.
static enum setting_result delete_rule(const struct setting_host *host,
                                       const struct setting *setting, struct error *error)
{
    char old[SETTING_VALUE_SIZE], words[SETTING_VALUE_SIZE];
    unsigned place;
    if (read_by_ethtool(setting, old, error))
        return SETTING_REFUSED;
    if (sscanf(old, "action %*d loc %u", &place) != 1)
        return SETTING_DONE;
    struct command command = {0};
    snprintf(words, sizeof(words), "ethtool -N %s delete %u", setting->target, place);
    say_words(&command, words);
    return run_ethtool(host, &command, error);
}

static enum setting_result set_by_ethtool(const struct setting_host *host,
                                          const struct setting *setting, const char *value,
                                          struct error *error)
{
    struct command command = {0};
    if (setting->kind == SETTING_RULE) {
        enum setting_result result = delete_rule(host, setting, error);
        if (result != SETTING_DONE || strcmp(value, "none") == 0)
            return result;
    }
    say_words(&command, "ethtool");
    say_words(&command, kinds[setting->kind].set);
    say_words(&command, setting->target);
    say_words(&command, setting->kind == SETTING_RULE ? "flow-type udp4" : "");
    say_words(&command, setting->name);
    say_words(&command, value);
    return run_ethtool(host, &command, error);
}

static int write_file(const char *path, const char *value)
{
    char line[SETTING_VALUE_SIZE + 1];
    int length = snprintf(line, sizeof(line), "%s\n", value);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t put = write(fd, line, (size_t)length);
    int why = errno;
    close(fd);
    errno = why;
    return put < 0 ? -1 : 0;
}

static enum setting_result set_path(const struct setting_host *host, const struct setting *setting,
                                    const char *value, struct error *error)
{
    char path[PATH_MAX];
    bool folder = setting->kind == SETTING_FOLDER, make = strcmp(value, "there") == 0;
    snprintf(path, sizeof(path), "%s%s", host->root, setting->target);
    if (folder)
        fprintf(host->stream, "RUN: %s %s\n", make ? "mkdir" : "rmdir", setting->target);
    else
        fprintf(host->stream, "RUN: echo%s%s > %s\n", value[0] ? " " : "", value, setting->target);
    fflush(host->stream);
    if (host->dry_run)
        return SETTING_DONE;
    if ((!folder ? write_file(path, value) : make ? mkdir(path, 0755) : rmdir(path)) == 0)
        return SETTING_DONE;
    error_set(error, "%s: %s", setting->target, strerror(errno));
    return errno == EOPNOTSUPP || errno == EIO ? SETTING_REFUSED : SETTING_FAILED;
}

static enum setting_result set_stamps(const struct setting_host *host,
                                      const struct setting *setting, const char *value,
                                      struct error *error)
{
    int sent = 0, received = 0;
    fprintf(host->stream, "RUN: hwstamp_ctl -i %s %s\n", setting->target, value);
    fflush(host->stream);
    if (host->dry_run)
        return SETTING_DONE;
    if (sscanf(value, "-t %d -r %d", &sent, &received) == 2 &&
        nic_set_stamping(setting->target, sent, received) == 0)
        return SETTING_DONE;
    error_set(error, "%s: cannot have packets stamped: %s", setting->target, strerror(errno));
    return errno == EOPNOTSUPP || errno == ERANGE ? SETTING_REFUSED : SETTING_FAILED;
}

static enum setting_result set_it(const struct setting_host *host, const struct setting *setting,
                                  const char *value, struct error *error)
{
    if (by_ethtool(setting))
        return set_by_ethtool(host, setting, value, error);
    return setting->kind == SETTING_STAMPS ? set_stamps(host, setting, value, error)
                                           : set_path(host, setting, value, error);
}

enum setting_result setting_write(const struct setting_host *host, const struct setting *setting,
                                  const char *value, struct error *error)
{
    char now[SETTING_VALUE_SIZE];
    enum setting_result result = set_it(host, setting, value, error);
    if (result != SETTING_DONE || host->dry_run)
        return result;
    if (setting_read(host, setting, now, error))
        return SETTING_FAILED;
    if (setting_is(setting, now, value))
        return SETTING_DONE;
    error_set(error, "%s%s%s was set to \"%s\" and is \"%s\"", setting->target,
              setting->name[0] ? " " : "", setting->name, value, now);
    return SETTING_FAILED;
}

bool setting_interface_there(const struct setting_host *host, const char *interface)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/sys/class/net/%s", host->root, interface);
    return access(path, F_OK) == 0;
}

bool setting_gone(const struct setting_host *host, const struct setting *setting)
{
    char path[PATH_MAX];
    if (by_ethtool(setting) || setting->kind == SETTING_STAMPS)
        return !setting_interface_there(host, setting->target);
    snprintf(path, sizeof(path), "%s%s", host->root, setting->target);
    return access(path, F_OK) != 0;
}
