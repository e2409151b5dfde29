// SPDX-License-Identifier: MIT
//
// A folder in which /sys and /proc are played by plain files.
#ifndef SLUICE_TESTS_UNIT_FAKE_ROOT_H
#define SLUICE_TESTS_UNIT_FAKE_ROOT_H

#include <criterion/criterion.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAKE_ROOT_SIZE 40

static inline void fake_root_make(char root[FAKE_ROOT_SIZE])
{
    snprintf(root, FAKE_ROOT_SIZE, "/tmp/sluice-root-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
}

// With the folders above it.
static inline void fake_path(const char *root, const char *name, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", root, name);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0755);
        *slash = '/';
    }
}

static inline void fake_file(const char *root, const char *name, const char *content)
{
    char path[PATH_MAX];
    fake_path(root, name, path);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file, "%s", path);
    fputs(content, file);
    fclose(file);
}

static inline void fake_link(const char *root, const char *name, const char *target)
{
    char path[PATH_MAX];
    fake_path(root, name, path);
    cr_assert_eq(symlink(target, path), 0, "%s", path);
}

// The first line, without its end; empty where there is no file.
static inline const char *fake_line(const char *root, const char *name)
{
    static char line[1024];
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof(line), file))
        line[0] = 0;
    if (file)
        fclose(file);
    line[strcspn(line, "\n")] = 0;
    return line;
}

static inline int fake_remove_one(const char *path, const struct stat *status, int type,
                                  struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

static inline void fake_root_remove(const char *root)
{
    nftw(root, fake_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
