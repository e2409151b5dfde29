// SPDX-License-Identifier: MIT
//
// The password SECRET hashed at the least cost there is, as scripts/lab has it, so that a login of
// a test takes some tens of microseconds.
#ifndef SLUICE_TESTS_PASSWORD_H
#define SLUICE_TESTS_PASSWORD_H

#define PASSWORD_HASH                                                                              \
    "$argon2id$v=19$m=8,t=1,p=1$xZoYeayYbnKCA+Pne9C3bQ$qfd1GfU8EavQqLYeZKYUW54/igFZ4cdABzMbOgLFx2o"

#endif
