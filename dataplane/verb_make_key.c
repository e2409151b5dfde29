// SPDX-License-Identifier: MIT
//
// sluice make-key: an Ed25519 key for signed sessions, a client's or the gateway's.
#include "dataplane/verbs.h"

#include <sodium.h>
#include <stdio.h>

#include "dataplane/key.h"

int verb_make_key(int argc, char **argv)
{
    struct error error;
    uint8_t public_key[32];
    char text[65];
    if (argc != 2 || sodium_init() < 0) {
        fprintf(stderr, "sluice: usage: sluice %s FILE, which is made and takes the secret half\n",
                argv[0]);
        return 2;
    }
    if (key_make(argv[1], public_key, &error)) {
        fprintf(stderr, "sluice: %s\n", error.text);
        return 1;
    }
    printf("public_key = \"%s\";\n",
           sodium_bin2hex(text, sizeof(text), public_key, sizeof(public_key)));
    return 0;
}
