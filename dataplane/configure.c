// SPDX-License-Identifier: MIT
#include "dataplane/configure.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/stages.h"
#include "numa/invariant.h"

#define STAGES_MAX 16u

const char *const *configure_stage_names(void)
{
    static const char *names[STAGES_MAX + 1];
    for (uint32_t i = 0; stages[i].name; i++) {
        INVARIANT(i < STAGES_MAX);
        names[i] = stages[i].name;
    }
    return names;
}

static void say(const struct configuring *configuring, FILE *stream, const char *before,
                const char *format, va_list arguments)
{
    fprintf(stream, "%s%s: ", stream == configuring->error ? "sluice: " : "", configuring->stage);
    fprintf(stream, "%s", before);
    vfprintf(stream, format, arguments);
    fprintf(stream, "\n");
}

void stages_cannot(struct configuring *configuring, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(configuring, configuring->host.stream, "cannot be had here: ", format, arguments);
    va_end(arguments);
    configuring->line_count++;
}

void stages_missing(struct configuring *configuring, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(configuring, configuring->host.stream, "not configured: ", format, arguments);
    va_end(arguments);
    configuring->line_count++;
    configuring->wrong_count += configuring->verb == CONFIGURE_CHECK;
}

void stages_failed(struct configuring *configuring, const char *format, ...)
{
    va_list arguments;
    fflush(configuring->host.stream);
    va_start(arguments, format);
    say(configuring, configuring->error, "", format, arguments);
    va_end(arguments);
    configuring->line_count++;
    configuring->wrong_count++;
}

// The record of changes. Written whole, and put in the old one's place at once.

static void record_path(struct configuring *configuring)
{
    char name[sizeof(configuring->config->name)];
    snprintf(name, sizeof(name), "%s", configuring->config->name);
    for (char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at) && (at == name || !strchr("._-", *at)))
            *at = '_';
    snprintf(configuring->record, sizeof(configuring->record), "%s/run/sluice/%s.configure.json",
             configuring->host.root, name);
}

static int record_load(struct configuring *configuring, struct error *error)
{
    json_error_t why;
    if (access(configuring->record, F_OK)) {
        configuring->changes = json_array();
        return 0;
    }
    json_t *record = json_load_file(configuring->record, 0, &why);
    configuring->changes = json_incref(json_object_get(record, "changes"));
    json_decref(record);
    if (json_is_array(configuring->changes))
        return 0;
    return error_set(error,
                     "%s is not the record of what configure changed (%s): put things back by "
                     "hand, or remove it to begin anew",
                     configuring->record, record ? "no changes" : why.text);
}

static int record_save(const struct configuring *configuring, struct error *error)
{
    char path[sizeof(configuring->record) + 8];
    if (json_array_size(configuring->changes) == 0)
        return unlink(configuring->record) == 0 || errno == ENOENT
                   ? 0
                   : error_set(error, "%s: %s", configuring->record, strerror(errno));
    snprintf(path, sizeof(path), "%s", configuring->record);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0755); // what fails shows below
        *slash = '/';
    }
    snprintf(path, sizeof(path), "%s.new", configuring->record);
    json_t *record =
        json_pack("{s:s, s:O}", "name", configuring->config->name, "changes", configuring->changes);
    int result = json_dump_file(record, path, JSON_INDENT(2));
    json_decref(record);
    if (result || rename(path, configuring->record))
        return error_set(error, "%s: the record of what was before cannot be written: %s", path,
                         strerror(errno));
    return 0;
}

static int record_add(struct configuring *configuring, const struct setting *setting,
                      const char *was, const char *now, struct error *error)
{
    json_t *change = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "stage", configuring->stage,
                               "kind", setting_kind_name(setting->kind), "target", setting->target,
                               "name", setting->name, "was", was, "now", now);
    json_array_append_new(configuring->changes, change);
    if (record_save(configuring, error) == 0)
        return 0;
    json_array_remove(configuring->changes, json_array_size(configuring->changes) - 1);
    return -1;
}

static void record_drop(struct configuring *configuring, size_t index)
{
    struct error error;
    json_array_remove(configuring->changes, index);
    if (!configuring->host.dry_run && record_save(configuring, &error))
        stages_failed(configuring, "%s", error.text);
}

// A change out of the record. False when it is none.
static bool change_read(const json_t *change, struct setting *setting, const char **stage,
                        const char **was)
{
    const char *kind, *target, *name;
    if (json_unpack((json_t *)(uintptr_t)change, "{s:s, s:s, s:s, s:s, s:s}", "stage", stage,
                    "kind", &kind, "target", &target, "name", &name, "was", was))
        return false;
    *setting = (struct setting){.kind = setting_kind_named(kind)};
    snprintf(setting->target, sizeof(setting->target), "%s", target);
    snprintf(setting->name, sizeof(setting->name), "%s", name);
    return setting->kind != SETTING_KIND_COUNT && strlen(*was) < SETTING_VALUE_SIZE;
}

const json_t *stages_change_of(const struct configuring *configuring, const struct setting *setting)
{
    for (size_t i = json_array_size(configuring->changes); i-- > 0;) {
        const json_t *change = json_array_get(configuring->changes, i);
        struct setting changed;
        const char *stage, *was;
        if (change_read(change, &changed, &stage, &was) && changed.kind == setting->kind &&
            strcmp(changed.target, setting->target) == 0 &&
            strcmp(changed.name, setting->name) == 0)
            return change;
    }
    return NULL;
}

// A failed write may have been done in part: all or nothing.
static void set(struct configuring *configuring, const struct setting *setting, const char *was,
                const char *value)
{
    struct error error, again;
    char now[SETTING_VALUE_SIZE];
    if (!configuring->host.dry_run && record_add(configuring, setting, was, value, &error)) {
        stages_failed(configuring, "%s", error.text);
        return;
    }
    enum setting_result result = setting_write(&configuring->host, setting, value, &error);
    if (result == SETTING_DONE) {
        configuring->step_count++;
        return;
    }
    if (result == SETTING_REFUSED)
        stages_cannot(configuring, "%s", error.text);
    else
        stages_failed(configuring, "%s", error.text);
    bool restored =
        (setting_read(&configuring->host, setting, now, &again) == 0 && strcmp(now, was) == 0) ||
        setting_write(&configuring->host, setting, was, &again) == SETTING_DONE;
    if (restored)
        record_drop(configuring, json_array_size(configuring->changes) - 1);
}

bool stages_want(struct configuring *configuring, const struct setting *setting, const char *value)
{
    char now[SETTING_VALUE_SIZE];
    struct error error;
    if (setting_read(&configuring->host, setting, now, &error)) {
        stages_cannot(configuring, "%s", error.text);
        return false;
    }
    if (setting_is(setting, now, value))
        return true;
    const char *space = setting->name[0] ? " " : "";
    if (strstr(now, " [fixed]")) {
        stages_cannot(configuring, "%s %s is %s", setting->target, setting->name, now);
        return false;
    }
    if (configuring->verb == CONFIGURE_CHECK) {
        stages_missing(configuring, "%s%s%s is \"%s\", should be \"%s\"", setting->target, space,
                       setting->name, now, value);
        return false;
    }
    uint32_t before = configuring->step_count;
    set(configuring, setting, now, value);
    return configuring->step_count > before;
}

__attribute__((format(printf, 3, 4))) bool stages_want_file(struct configuring *configuring,
                                                            const char *value, const char *format,
                                                            ...)
{
    struct setting setting = {.kind = SETTING_FILE};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(setting.target, sizeof(setting.target), format, arguments);
    va_end(arguments);
    return stages_want(configuring, &setting, value);
}

static bool named(const struct configure_options *options, const char *name)
{
    for (char **at = options->stages; at && *at; at++)
        if (strcmp(*at, name) == 0)
            return true;
    return false;
}

static bool chosen(const struct configure_options *options, const struct stage *stage)
{
    bool all = !options->stages || !options->stages[0];
    return all ? !stage->named_only : named(options, stage->name);
}

static void run_stage(struct configuring *configuring, const struct stage *stage)
{
    configuring->stage = stage->name;
    configuring->step_count = configuring->line_count = 0;
    stage->list(configuring);
    if (configuring->step_count > 0)
        fprintf(configuring->host.stream, "%s: %u change%s%s\n", stage->name,
                configuring->step_count, configuring->step_count == 1 ? "" : "s",
                configuring->host.dry_run ? " to make" : " made");
    else if (configuring->line_count == 0)
        fprintf(configuring->host.stream, "%s: OK\n", stage->name);
}

static void run_stages(struct configuring *configuring, const struct configure_options *options)
{
    bool there = ethtool_there(), told = false;
    for (const struct stage *stage = stages; stage->name; stage++) {
        if (!chosen(options, stage))
            continue;
        if (there || !stage->needs_ethtool) {
            run_stage(configuring, stage);
        } else if (!told) {
            told = true;
            configuring->wrong_count++;
            fprintf(configuring->error,
                    "sluice: there is no ethtool on this host: the stages that need it are passed "
                    "over; install the package ethtool\n");
        }
    }
}

// One change taken back. False when it could not be.
static bool undo(struct configuring *configuring, const struct setting *setting, const char *was)
{
    char now[SETTING_VALUE_SIZE];
    struct error error;
    if (setting_gone(&configuring->host, setting)) {
        fprintf(configuring->host.stream, "%s: %s is gone: nothing to put back\n",
                configuring->stage, setting->target);
        return true;
    }
    if (setting_read(&configuring->host, setting, now, &error) == 0 && strcmp(now, was) == 0)
        return true;
    if (setting_write(&configuring->host, setting, was, &error) == SETTING_DONE) {
        configuring->step_count++;
        return true;
    }
    stages_failed(configuring, "%s", error.text);
    return false;
}

static void undo_all(struct configuring *configuring, const struct configure_options *options)
{
    bool all = !options->stages || !options->stages[0];
    for (size_t i = json_array_size(configuring->changes); i-- > 0;) {
        json_t *change = json_incref(json_array_get(configuring->changes, i));
        struct setting setting;
        const char *was;
        configuring->stage = "fini";
        if (!change_read(change, &setting, &configuring->stage, &was))
            stages_failed(configuring, "%s: entry %zu is not a change", configuring->record, i);
        else if ((all || named(options, configuring->stage)) && undo(configuring, &setting, was))
            record_drop(configuring, i);
        json_decref(change);
    }
    fprintf(configuring->host.stream, "%u setting%s %s\n", configuring->step_count,
            configuring->step_count == 1 ? "" : "s",
            configuring->host.dry_run ? "to put back" : "put back");
}

int configure(struct config *config, const struct topology *topology,
              const struct configure_options *options)
{
    static struct plan plan; // too large for a stack
    struct error error;
    struct configuring configuring = {
        .verb = options->verb,
        .host = {.root = options->root, .dry_run = options->dry_run, .stream = options->out},
        .config = config,
        .topology = topology,
        .plan = &plan,
        .error = options->error,
        .stage = "configure",
    };
    plan_cores(config, topology, options->root[0] == 0, &plan);
    record_path(&configuring);
    if (record_load(&configuring, &error))
        stages_failed(&configuring, "%s", error.text);
    else if (options->verb == CONFIGURE_FINI)
        undo_all(&configuring, options);
    else
        run_stages(&configuring, options);
    json_decref(configuring.changes);
    return configuring.wrong_count > 0 ? 1 : 0;
}
