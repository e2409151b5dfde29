// SPDX-License-Identifier: MIT
#include "numa/fault.h"

#ifdef SLUICE_FAULTS
enum fault fault_planted;
#endif
