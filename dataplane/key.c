// SPDX-License-Identifier: MIT
#include "dataplane/key.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEED_SIZE 32
#define TEXT_SIZE (2 * SEED_SIZE + 1) // digits, and the end of the line

static int open_private(const char *path, struct error *error)
{
    struct stat file;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set(error, "cannot read the key %s: %s", path, strerror(errno));
    const char *fault = fstat(fd, &file)            ? "cannot be looked at"
                        : !S_ISREG(file.st_mode)    ? "is not a file"
                        : (file.st_mode & 077) != 0 ? "is open to others: chmod 600"
                                                    : NULL;
    if (!fault)
        return fd;
    close(fd);
    return error_set(error, "the key %s %s", path, fault);
}

int key_read(const char *path, uint8_t key[64], struct error *error)
{
    char text[TEXT_SIZE];
    uint8_t seed[SEED_SIZE], public_key[32];
    size_t size;
    int fd = open_private(path, error);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, text, sizeof(text));
    close(fd);
    bool whole = got >= 2 * SEED_SIZE && (got < TEXT_SIZE || text[TEXT_SIZE - 1] == '\n') &&
                 sodium_hex2bin(seed, sizeof(seed), text, 2 * SEED_SIZE, NULL, &size, NULL) == 0 &&
                 size == sizeof(seed);
    if (whole)
        crypto_sign_seed_keypair(public_key, key, seed);
    sodium_memzero(text, sizeof(text));
    sodium_memzero(seed, sizeof(seed));
    return whole ? 0
                 : error_set(error,
                             "%s has no key of %d hexadecimal digits; `sluice make-key` makes one",
                             path, 2 * SEED_SIZE);
}

int key_make(const char *path, uint8_t public_key[32], struct error *error)
{
    char text[TEXT_SIZE];
    uint8_t seed[SEED_SIZE], key[64];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(error, "cannot make the key %s: %s", path, strerror(errno));
    randombytes_buf(seed, sizeof(seed));
    crypto_sign_seed_keypair(public_key, key, seed);
    sodium_bin2hex(text, sizeof(text), seed, sizeof(seed));
    text[TEXT_SIZE - 1] = '\n';
    bool written = write(fd, text, sizeof(text)) == TEXT_SIZE && fsync(fd) == 0;
    int why = errno;
    close(fd);
    sodium_memzero(text, sizeof(text));
    sodium_memzero(seed, sizeof(seed));
    sodium_memzero(key, sizeof(key));
    if (written)
        return 0;
    unlink(path);
    return error_set(error, "cannot write the key %s: %s", path, strerror(why));
}
