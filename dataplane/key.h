// SPDX-License-Identifier: MIT
//
// key: an Ed25519 key in a file of its own: the seed as 64 hexadecimal digits in one line, that
// nobody but its owner may read.
#ifndef SLUICE_DATAPLANE_KEY_H
#define SLUICE_DATAPLANE_KEY_H

#include <stdint.h>

#include "numa/error.h"

// key_read: the key in `path`, as libsodium has it (seed and public key). The caller wipes it. 0,
// or -1 with `error`, which names the file.
int key_read(const char *path, uint8_t key[64], struct error *error);

// key_make: a new key in `path`, which must not be there yet; its public half into `public_key`.
// 0, or -1 with `error`.
int key_make(const char *path, uint8_t public_key[32], struct error *error);

#endif
