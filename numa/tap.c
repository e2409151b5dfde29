// SPDX-License-Identifier: MIT
//
// Why what a reader accepts is never torn. The payload is copied while the writer may be
// overwriting it, so every word of it is an atomic, and the copy is checked afterwards (a seqlock,
// as in H. Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?", 2012). Before
// the writer touches a slot or a word it stores how far it will go in claimed_records and
// claimed_words, and then fences (release). The reader copies, fences (acquire), and then loads the
// two claims. If it has copied any word that was stored after some claim, the two fences
// synchronise over that word, and the load gives that claim or a later one: which says that the
// place was used again, and the copy is thrown away. If the claims say that the place was not used
// again, every word copied is the record's own: tap_published's acquire has made it visible.
//
// Registration. Byte 0 of the file is locked by the writer as long as it lives, byte 1 by each
// reader (shared). Open-file locks belong to the descriptor: the kernel drops them when the last
// process that has it ends. tap_watch takes byte 1 for itself before it clears the flag: a reader
// that locks it afterwards sees the flag clear and waits until it is set again.
//
// Wiping, by tap_watch, at the first one that finds the flag clear already, and no record half
// done. A writer that had seen it set before may still put one then. No reader is there to see
// what becomes of that record, as none is let in before all are published; and it is wiped at the
// next one, since there are more records than were wiped.
#include "numa/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <numaif.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "numa/invariant.h"

#define MAGIC         0x0000000150415453ull // "STAP", version 1
#define WRITER_BYTE   0
#define READERS_BYTE  1
#define SIZE_BITS     32
#define BITS_PER_LONG (8 * sizeof(unsigned long))
#define NODES_MAX     1024

// gcc's thread sanitizer does not follow fences and warns at each. It loses nothing here: every
// word that is shared is an atomic, so there is no race for it to see, whatever the order.
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif

static size_t memory_size(uint64_t slot_count, uint64_t word_count)
{
    return sizeof(struct tap_shared) + slot_count * sizeof(struct tap_slot) +
           word_count * sizeof(uint64_t);
}

static bool is_power_of_two(uint64_t value)
{
    return value > 0 && (value & (value - 1)) == 0;
}

// 0, or -1 with errno: EAGAIN when somebody else has it.
static int set_lock(int fd, short type, off_t byte)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock);
}

// --- The writer

// What is there and was not removed by the process that made it. The lock is held until it is gone,
// so that of two processes that begin at once one is told of the other.
static int remove_old(const char *path, struct error *error)
{
    struct stat found;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return 0;
    int result = 0;
    if (fd >= 0 && set_lock(fd, F_WRLCK, WRITER_BYTE))
        result = error_set(error,
                           "%s is in use: a gateway of the same name runs on this host; give this "
                           "one another name",
                           path);
    else if ((fd < 0 || fstat(fd, &found) || found.st_nlink > 0) && unlink(path))
        result = error_set(error, "%s, of an earlier run, cannot be removed: %s; remove it", path,
                           strerror(errno));
    if (fd >= 0)
        close(fd);
    return result;
}

// Pages of a shared file are placed by the policy of the mapping that touches them first.
static void prefer_node(const struct tap *tap, int node)
{
    unsigned long nodes[NODES_MAX / BITS_PER_LONG] = {0};
    if (node < 0 || node >= NODES_MAX)
        return;
    nodes[(unsigned)node / BITS_PER_LONG] = 1ul << ((unsigned)node % BITS_PER_LONG);
    // The kernel reads maxnode - 1 bits.
    if (mbind(tap->shared, tap->mapped_bytes, MPOL_PREFERRED, nodes, NODES_MAX + 1, 0))
        warn("%s: cannot be asked for on node %d: %s", tap->path, node, strerror(errno));
}

static int map_memory(struct tap *tap, size_t size, int node, struct error *error)
{
    if (ftruncate(tap->fd, (off_t)size))
        return error_set(error, "%s: cannot have %zu KiB: %s", tap->path, size >> 10,
                         strerror(errno));
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, tap->fd, 0);
    if (memory == MAP_FAILED)
        return error_set(error, "%s: cannot map %zu KiB: %s", tap->path, size >> 10,
                         strerror(errno));
    tap->shared = memory;
    tap->mapped_bytes = size;
    prefer_node(tap, node);
    if (madvise(memory, size, MADV_POPULATE_WRITE)) // EFAULT: the file system is full
        return error_set(error, "%s: no room for %zu KiB: %s; `df` tells what fills its folder",
                         tap->path, size >> 10, strerror(errno == EFAULT ? ENOSPC : errno));
    if (mlock(memory, size))
        warn("%s: %zu KiB cannot be locked in memory (mlock: %s). To mend it: ulimit -l unlimited, "
             "or LimitMEMLOCK=infinity in the unit",
             tap->path, size >> 10, strerror(errno));
    return 0;
}

int tap_open(struct tap *tap, const char *path, uint64_t slot_count, uint64_t word_count, int node,
             struct error *error)
{
    INVARIANT(is_power_of_two(slot_count) && is_power_of_two(word_count));
    INVARIANT(word_count >= TAP_RECORD_MAX / 8 && strlen(path) < sizeof(tap->path));
    memset(tap, 0, sizeof(*tap));
    tap->fd = -1;
    if (remove_old(path, error))
        return -1;
    tap->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (tap->fd < 0)
        return error_set(error, "%s: cannot be made: %s", path, strerror(errno));
    strcpy(tap->path, path);
    if (set_lock(tap->fd, F_WRLCK, WRITER_BYTE)) {
        tap_close(tap);
        return error_set(error, "%s: cannot be locked: %s", path, strerror(errno));
    }
    if (map_memory(tap, memory_size(slot_count, word_count), node, error)) {
        tap_close(tap);
        return -1;
    }
    tap->slots = (struct tap_slot *)(tap->shared + 1);
    tap->words = (_Atomic uint64_t *)(tap->slots + slot_count);
    tap->slot_mask = slot_count - 1;
    tap->word_mask = word_count - 1;
    tap->shared->slot_count = slot_count;
    tap->shared->word_count = word_count;
    // Release pairs with the acquire in check_header.
    atomic_store_explicit(&tap->shared->magic, MAGIC, memory_order_release);
    return 0;
}

// How many records there are, all of them complete; false when one is being put.
static bool count_whole(const struct tap *tap, uint64_t *count)
{
    // Acquire pairs with the release in tap_put: no word of these is still to be written.
    *count = atomic_load_explicit(&tap->shared->published, memory_order_acquire);
    return atomic_load_explicit(&tap->shared->claimed_records, memory_order_relaxed) == *count;
}

static void wipe(struct tap *tap, uint64_t record_count)
{
    if (tap->wiped_count == record_count)
        return;
    for (uint64_t i = 0; i <= tap->word_mask; i++)
        atomic_store_explicit(&tap->words[i], 0, memory_order_relaxed);
    tap->wiped_count = record_count;
}

void tap_watch(struct tap *tap)
{
    uint64_t record_count;
    bool read = set_lock(tap->fd, F_WRLCK, READERS_BYTE) != 0;
    bool watched = tap_watched(tap), whole = count_whole(tap, &record_count);
    if (!read && !watched && whole)
        wipe(tap, record_count);
    // Before the lock is given up: see the top of this file. The kernel's lock orders it.
    atomic_store_explicit(&tap->shared->watched, read && (watched || whole), memory_order_relaxed);
    if (!read)
        set_lock(tap->fd, F_UNLCK, READERS_BYTE);
}

void tap_close(struct tap *tap)
{
    if (tap->path[0])
        unlink(tap->path);
    if (tap->shared)
        munmap(tap->shared, tap->mapped_bytes);
    if (tap->path[0])
        close(tap->fd); // the lock ends here: what was recorded is visible to whoever sees that
    memset(tap, 0, sizeof(*tap));
}

// Whole words, and one that is filled up with zeroes.
static void put_words(struct tap *tap, uint64_t position, const uint8_t *bytes, size_t size)
{
    uint64_t word;
    for (; size >= sizeof(word); size -= sizeof(word), bytes += sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
        atomic_store_explicit(&tap->words[position++ & tap->word_mask], word, memory_order_relaxed);
    }
    if (size == 0)
        return;
    word = 0;
    memcpy(&word, bytes, size);
    atomic_store_explicit(&tap->words[position & tap->word_mask], word, memory_order_relaxed);
}

void tap_put(struct tap *tap, uint64_t time_ns, uint32_t kind, const void *bytes, size_t size)
{
    INVARIANT(size <= TAP_RECORD_MAX && kind <= UINT16_MAX);
    struct tap_shared *shared = tap->shared;
    struct tap_slot *slot = &tap->slots[tap->record_count & tap->slot_mask];
    uint64_t position = tap->word_position;
    tap->record_count++;
    tap->word_position += (size + 7) / 8;
    atomic_store_explicit(&shared->claimed_records, tap->record_count, memory_order_relaxed);
    atomic_store_explicit(&shared->claimed_words, tap->word_position, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); // pairs with the fence in copy_record
    atomic_store_explicit(&slot->time_ns, time_ns, memory_order_relaxed);
    atomic_store_explicit(&slot->position, position, memory_order_relaxed);
    atomic_store_explicit(&slot->kind_and_size, (uint64_t)kind << SIZE_BITS | size,
                          memory_order_relaxed);
    put_words(tap, position, bytes, size);
    // Release pairs with the acquire in tap_published.
    atomic_store_explicit(&shared->published, tap->record_count, memory_order_release);
}

// --- A reader

// Whether somebody holds the writer's lock.
static bool has_writer(int fd)
{
    struct flock lock = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = WRITER_BYTE, .l_len = 1};
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static int map_tap(struct tap_reader *reader, const char *path, struct error *error)
{
    struct stat found;
    if (fstat(reader->fd, &found) || found.st_size < (off_t)sizeof(struct tap_shared))
        return error_set(error, "%s is not a tap, or only begins to be one: try again", path);
    void *memory = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_SHARED, reader->fd, 0);
    if (memory == MAP_FAILED)
        return error_set(error, "%s: cannot be mapped: %s", path, strerror(errno));
    reader->shared = memory;
    reader->mapped_bytes = (size_t)found.st_size;
    return 0;
}

static int check_header(struct tap_reader *reader, const char *path, struct error *error)
{
    const struct tap_shared *shared = reader->shared;
    // Acquire pairs with the release in tap_open.
    if (atomic_load_explicit(&shared->magic, memory_order_acquire) != MAGIC)
        return error_set(error, "%s is not a tap of this version: read it with the gateway's own",
                         path);
    uint64_t slot_count = shared->slot_count, word_count = shared->word_count;
    if (!is_power_of_two(slot_count) || !is_power_of_two(word_count) ||
        slot_count > reader->mapped_bytes || word_count > reader->mapped_bytes ||
        memory_size(slot_count, word_count) > reader->mapped_bytes)
        return error_set(error, "%s is damaged: its sizes do not fit", path);
    reader->slots = (const struct tap_slot *)(shared + 1);
    reader->words = (const _Atomic uint64_t *)(reader->slots + slot_count);
    reader->slot_mask = slot_count - 1;
    reader->word_mask = word_count - 1;
    return 0;
}

int tap_attach(struct tap_reader *reader, const char *path, struct error *error)
{
    memset(reader, 0, sizeof(*reader));
    reader->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (reader->fd < 0)
        return error_set(error, "%s: %s", path, strerror(errno));
    if (!has_writer(reader->fd)) {
        close(reader->fd);
        return error_set(error, "%s was left by a gateway that was killed", path);
    }
    if (map_tap(reader, path, error)) {
        close(reader->fd);
        return -1;
    }
    if (check_header(reader, path, error)) {
        tap_detach(reader);
        return -1;
    }
    return 0;
}

bool tap_joined(struct tap_reader *reader)
{
    // Refused for the moment in which tap_watch holds the lock.
    if (!reader->locked)
        reader->locked = set_lock(reader->fd, F_RDLCK, READERS_BYTE) == 0;
    if (!reader->joined && reader->locked &&
        atomic_load_explicit(&reader->shared->watched, memory_order_relaxed)) {
        reader->joined = true;
        reader->next = tap_published(reader);
    }
    return reader->joined;
}

uint64_t tap_published(const struct tap_reader *reader)
{
    // Acquire pairs with the release in tap_put: all words of these records are visible.
    return atomic_load_explicit(&reader->shared->published, memory_order_acquire);
}

static void copy_words(const struct tap_reader *reader, uint64_t position, uint8_t *bytes,
                       size_t size)
{
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
        uint64_t word = atomic_load_explicit(&reader->words[position++ & reader->word_mask],
                                             memory_order_relaxed);
        memcpy(bytes + at, &word, size - at < sizeof(word) ? size - at : sizeof(word));
    }
}

// The next record, which is published; false when it was overwritten, before or meanwhile.
static bool copy_record(const struct tap_reader *reader, struct tap_record *record, uint8_t *bytes)
{
    const struct tap_shared *shared = reader->shared;
    const struct tap_slot *slot = &reader->slots[reader->next & reader->slot_mask];
    uint64_t position = atomic_load_explicit(&slot->position, memory_order_relaxed);
    uint64_t kind_and_size = atomic_load_explicit(&slot->kind_and_size, memory_order_relaxed);
    record->time_ns = atomic_load_explicit(&slot->time_ns, memory_order_relaxed);
    record->kind = (uint32_t)(kind_and_size >> SIZE_BITS);
    record->size = (uint32_t)kind_and_size;
    if (record->size > TAP_RECORD_MAX)
        return false;
    copy_words(reader, position, bytes, record->size);
    atomic_thread_fence(memory_order_acquire); // pairs with the fence in tap_put
    uint64_t records = atomic_load_explicit(&shared->claimed_records, memory_order_relaxed);
    uint64_t words = atomic_load_explicit(&shared->claimed_words, memory_order_relaxed);
    return records - reader->next <= reader->slot_mask + 1 &&
           words - position <= reader->word_mask + 1;
}

bool tap_read(struct tap_reader *reader, struct tap_record *record, uint8_t *bytes)
{
    uint64_t behind;
    while ((behind = tap_published(reader) - reader->next) > 0) {
        if (copy_record(reader, record, bytes)) {
            reader->next++;
            return true;
        }
        uint64_t given_up = (behind + 1) / 2;
        reader->next += given_up;
        reader->lost += given_up;
    }
    return false;
}

bool tap_ended(const struct tap_reader *reader)
{
    return !has_writer(reader->fd);
}

void tap_detach(struct tap_reader *reader)
{
    if (!reader->shared)
        return;
    munmap((void *)(uintptr_t)reader->shared, reader->mapped_bytes);
    close(reader->fd);
    memset(reader, 0, sizeof(*reader));
}
