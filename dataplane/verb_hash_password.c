// SPDX-License-Identifier: MIT
//
// sluice hash-password: a line for the configuration, of the password on standard input.
#include "dataplane/verbs.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "dataplane/ufo.h"
#include "numa/error.h"

#define PASSWORD_SIZE sizeof(((struct ufo_login *)0)->password)

// What is typed is not to be seen.
static void show_typing(bool shown)
{
    struct termios terminal;
    if (tcgetattr(STDIN_FILENO, &terminal))
        return; // not a terminal
    terminal.c_lflag = shown ? terminal.c_lflag | ECHO : terminal.c_lflag & ~(tcflag_t)ECHO;
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
}

// One line, as a login carries it: capitals, padded with spaces. Read by hand: no copy of it stays
// in a buffer of libc's.
static int read_password(char password[PASSWORD_SIZE], struct error *error)
{
    size_t length = 0;
    char letter;
    memset(password, ' ', PASSWORD_SIZE);
    while (read(STDIN_FILENO, &letter, 1) == 1 && letter != '\n') {
        if (length == PASSWORD_SIZE || !isprint((unsigned char)letter))
            return error_set(error,
                             "a password has up to %zu characters of printable ASCII: UFO's "
                             "logins have no room for more",
                             PASSWORD_SIZE);
        password[length++] = letter;
    }
    if (length == 0)
        return error_set(error, "no password on standard input");
    ufo_upper(password, PASSWORD_SIZE);
    return 0;
}

static int hash(const char password[PASSWORD_SIZE], struct error *error)
{
    char text[crypto_pwhash_STRBYTES];
    if (crypto_pwhash_str(text, password, PASSWORD_SIZE, crypto_pwhash_OPSLIMIT_INTERACTIVE,
                          crypto_pwhash_MEMLIMIT_INTERACTIVE))
        return error_set(error, "no memory to hash the password with: it takes %u MiB",
                         crypto_pwhash_MEMLIMIT_INTERACTIVE >> 20);
    printf("password_hash = \"%s\";\n", text);
    return 0;
}

int verb_hash_password(int argc, char **argv)
{
    struct error error;
    char password[PASSWORD_SIZE];
    if (argc > 1 || sodium_init() < 0) {
        fprintf(stderr, "sluice: usage: sluice %s, with the password on standard input\n", argv[0]);
        return 2;
    }
    show_typing(false);
    int failed = read_password(password, &error);
    show_typing(true);
    if (!failed)
        failed = hash(password, &error);
    sodium_memzero(password, sizeof(password));
    if (failed)
        fprintf(stderr, "sluice: %s\n", error.text);
    return failed ? 1 : 0;
}
