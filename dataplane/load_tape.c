// SPDX-License-Identifier: MIT
#include "dataplane/load_tape.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "book/book.h"
#include "dataplane/load_tape_steps.h"

#define SYMBOLS_MAX (NO_INSTRUMENT - 1u)

static bool is_pcap(struct bytes file)
{
    static const uint8_t magics[][4] = {
        {0xA1, 0xB2, 0xC3, 0xD4}, {0xD4, 0xC3, 0xB2, 0xA1}, {0xA1, 0xB2, 0x3C, 0x4D},
        {0x4D, 0x3C, 0xB2, 0xA1}, {0x0A, 0x0D, 0x0D, 0x0A}, // pcapng
    };
    for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
        if (file.size >= 4 && memcmp(file.start, magics[i], 4) == 0)
            return true;
    }
    return false;
}

static int read_tape(struct tape *tape, struct bytes file, struct error *error)
{
    if (is_pcap(file))
        return tape_read_pcap(tape, error);
    if (file.start[0] >= '0' && file.start[0] <= '9')
        return tape_read_lobster(tape, file, error);
    if (tape_is_binary_file(file))
        return tape_read_binary_file(tape, file, error);
    return error_set(error,
                     "load: %s is not a tape: neither a LOBSTER message file, nor a pcap, nor an "
                     "ITCH 5.0 BinaryFILE (unpack it first if it is compressed)",
                     tape->path);
}

static int map_file(const char *path, struct bytes *file, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        error_set(error, "load: cannot open the tape %s: %s", path, strerror(errno));
    } else if (!S_ISREG(status.st_mode) || status.st_size == 0) {
        error_set(error, "load: the tape %s is not a file with anything in it", path);
    } else {
        file->size = (size_t)status.st_size;
        void *start = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
        file->start = start == MAP_FAILED ? NULL : start;
        if (file->start == NULL)
            error_set(error, "load: cannot map the tape %s: %s", path, strerror(errno));
    }
    if (fd >= 0)
        close(fd);
    return file->start == NULL ? -1 : 0;
}

static bool tape_open(struct tape *tape)
{
    tape->symbols_memory = malloc(symbols_memory_size(SYMBOLS_MAX));
    if (tape->symbols_memory == NULL || !order_table_open(&tape->orders, 65536))
        return false;
    symbols_init(&tape->symbols, tape->symbols_memory, SYMBOLS_MAX);
    for (uint32_t i = 0; i < tape->options->symbol_count; i++)
        symbols_add(&tape->symbols, tape->options->symbols[i]);
    return true;
}

static bool take_symbols(struct tape *tape)
{
    struct load_day *day = tape->day;
    day->symbol_count = tape->symbols.count;
    day->symbols = malloc(day->symbol_count * sizeof(*day->symbols));
    if (day->symbols == NULL)
        return false;
    memcpy(day->symbols, tape->symbols.names, day->symbol_count * sizeof(*day->symbols));
    return true;
}

int load_tape_read(const char *path, const struct load_tape_options *options, struct load_day *day,
                   struct load_tape_counts *counts, struct error *error)
{
    *day =
        (struct load_day){.session_count = options->session_count, .ordered = true, .timed = true};
    *counts = (struct load_tape_counts){0};
    struct bytes file = {NULL, 0};
    if (map_file(path, &file, error) != 0)
        return -1;
    int status = -1;
    struct tape *tape = calloc(1, sizeof(*tape));
    if (tape != NULL) {
        *tape = (struct tape){.path = path, .options = options, .day = day, .counts = counts};
        bool whole = tape_open(tape);
        status = whole ? read_tape(tape, file, error) : 0;
        if (!whole || day->out_of_memory)
            status = error_set(error, "load: %s: no memory for its orders", path);
        else if (status == 0 && day->count == 0)
            status =
                error_set(error, "load: %s: no order in its %llu messages is of a symbol asked for",
                          path, (unsigned long long)counts->messages);
        else if (status == 0 && !take_symbols(tape))
            status = error_set(error, "load: %s: no memory for its symbols", path);
        free(tape->orders.slots);
        free(tape->symbols_memory);
        free(tape->older);
        free(tape->heaps[SIDE_BUY].entries);
        free(tape->heaps[SIDE_SELL].entries);
        free(tape);
    } else {
        error_set(error, "load: no memory to read a tape");
    }
    munmap((void *)file.start, file.size);
    return status;
}
