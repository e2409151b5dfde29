// SPDX-License-Identifier: MIT
//
// A key in a file of its own: what is made can be read, and what is open to others is not.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/key.h"

static char folder[] = "/tmp/sluice-key-XXXXXX", path[64];

static void set_up(void)
{
    cr_assert(sodium_init() >= 0);
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/key", folder);
}

static void tear_down(void)
{
    unlink(path);
    rmdir(folder);
}

TestSuite(key, .init = set_up, .fini = tear_down);

static void expect_refusal(const char *what)
{
    struct error error;
    uint8_t key[64];
    cr_assert_eq(key_read(path, key, &error), -1);
    cr_assert(strstr(error.text, what) && strstr(error.text, path), "%s", error.text);
}

static void write_text(const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

Test(key, what_is_made_can_be_read_and_is_not_overwritten)
{
    struct error error;
    uint8_t public_key[32], key[64];
    cr_assert_eq(key_make(path, public_key, &error), 0, "%s", error.text);
    cr_assert_eq(key_read(path, key, &error), 0, "%s", error.text);
    cr_assert_arr_eq(key + 32, public_key, 32, "libsodium has the public half behind the seed");
    cr_assert_eq(key_make(path, public_key, &error), -1);
    struct stat file;
    cr_assert_eq(stat(path, &file), 0);
    cr_assert_eq(file.st_mode & 0777, 0600);
}

Test(key, what_is_no_key_or_open_to_others_is_refused_by_name)
{
    static const char digits[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    char text[128];
    expect_refusal("cannot read");
    write_text("");
    expect_refusal("has no key");
    write_text("0001");
    expect_refusal("has no key");
    snprintf(text, sizeof(text), "%s\n", digits);
    text[20] = 'x';
    write_text(text);
    expect_refusal("has no key");
    snprintf(text, sizeof(text), "%s20\n", digits);
    write_text(text);
    expect_refusal("has no key");
    struct error error;
    uint8_t key[64];
    write_text(digits);
    cr_assert_eq(key_read(path, key, &error), 0, "without the end of its line: %s", error.text);
    cr_assert_eq(chmod(path, 0640), 0);
    expect_refusal("chmod 600");
}
