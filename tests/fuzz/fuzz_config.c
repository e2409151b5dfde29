// SPDX-License-Identifier: MIT
//
// A configuration of any bytes: what is accepted keeps every bound that config.h and
// deploy/sluice.conf promise, so that nothing behind it has to ask again; what is refused is told
// of in one line that begins with the file's name.
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataplane/config.h"
#include "dataplane/lane.h"
#include "journal/journal.h"
#include "numa/invariant.h"
#include "numa/thread.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

// libconfig 1.5 forgets a text that has no end. A gateway reads its file once.
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig";
}

static bool is_power(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static bool within(uint64_t value, uint64_t low, uint64_t high)
{
    return value >= low && value <= high;
}

// Printable, from the first byte to the padding, and not empty.
static void check_text(const char *text, size_t size, char pad)
{
    size_t length = size;
    while (length > 0 && text[length - 1] == pad)
        length--;
    INVARIANT(pad == ' ' || within(length, 1, size - 1));
    for (size_t i = 0; i < length; i++)
        INVARIANT(isprint((unsigned char)text[i]));
}

static void check_core(int core)
{
    INVARIANT(core == THREAD_ANY_CORE || within((uint64_t)core, 0, 1023));
}

static void check_port(const struct config *config, uint32_t index)
{
    const struct config_port *port = &config->ports[index];
    check_text(port->interface, sizeof(port->interface), 0);
    check_core(port->core);
    INVARIANT(within(port->queue_count, 1, CONFIG_QUEUES_MAX));
    INVARIANT(is_power(port->frame_count) && within(port->frame_count, 1024, 65536));
    INVARIANT(port->type <= CONFIG_PORT_UDP && port->mode <= CONFIG_MODE_ZEROCOPY);
    for (uint32_t q = 0; q < port->queue_count; q++) {
        INVARIANT(port->queues[q] < STEER_QUEUES_MAX);
        for (uint32_t other = 0; other < q; other++)
            INVARIANT(port->queues[other] != port->queues[q]);
    }
    for (uint32_t i = 0; i < index; i++) {
        const struct config_port *other = &config->ports[i];
        if (strcmp(other->interface, port->interface) != 0)
            continue;
        INVARIANT(other->type == port->type);
        for (uint32_t q = 0; q < port->queue_count * other->queue_count; q++)
            INVARIANT(port->queues[q % port->queue_count] != other->queues[q / port->queue_count]);
    }
}

static bool takes(const struct config *config, const struct config_shard *shard, uint32_t address,
                  uint16_t port)
{
    return config->ports[shard->port].address == address &&
           (shard->udp_port == port || shard->request_port == port);
}

// No two UDP ports of an address are the same, whoever has them.
static void check_shard(const struct config *config, uint32_t index)
{
    const struct config_shard *shard = &config->shards[index];
    INVARIANT(shard->port < config->port_count && shard->udp_port && shard->feed_port);
    INVARIANT(IN_MULTICAST(ntohl(shard->feed_group)) && shard->udp_port != shard->request_port);
    check_core(shard->core);
    check_core(shard->journal_core);
    uint32_t address = config->ports[shard->port].address;
    for (uint32_t i = 0; i < index; i++) {
        INVARIANT(!takes(config, &config->shards[i], address, shard->udp_port));
        INVARIANT(!shard->request_port ||
                  !takes(config, &config->shards[i], address, shard->request_port));
    }
    struct book_limits limits = lane_book_limits(config, index);
    INVARIANT(book_limits_check(&limits) == NULL && lane_memory_size(config, index) > 0);
}

static void check_lists(const struct config *config)
{
    for (uint32_t i = 0; i < config->instrument_count; i++) {
        const struct config_instrument *instrument = &config->instruments[i];
        check_text(instrument->symbol, sizeof(instrument->symbol), ' ');
        INVARIANT(instrument->shard < config->shard_count);
        INVARIANT(within(instrument->round_lot, 1, QUANTITY_MAX));
        for (uint32_t other = 0; other < i; other++)
            INVARIANT(memcmp(config->instruments[other].symbol, instrument->symbol, 8) != 0);
    }
    for (uint32_t i = 0; i < config->session_count; i++) {
        const struct config_session *session = &config->sessions[i];
        check_text(session->user, sizeof(session->user), ' ');
        check_text(session->firm, sizeof(session->firm), ' ');
        for (size_t at = 0; at < sizeof(session->user); at++)
            INVARIANT(!islower((unsigned char)session->user[at]));
        INVARIANT(session->is_signed == !session->password_hash[0]);
        INVARIANT(session->is_signed || strncmp(session->password_hash, "$argon2id$", 10) == 0);
        if (!session->is_signed)
            check_text(session->password_hash, sizeof(session->password_hash), 0);
        for (uint32_t other = 0; other < i; other++)
            INVARIANT(memcmp(config->sessions[other].user, session->user, 6) != 0);
    }
}

static void check_accepted(const struct config *config)
{
    check_text(config->name, sizeof(config->name), 0);
    check_text(config->journal_directory, sizeof(config->journal_directory), 0);
    INVARIANT(is_power(config->segment_bytes) && within(config->segment_bytes >> 20, 1, 4096));
    INVARIANT(within(config->spare_count, 2, JOURNAL_SPARES_MAX));
    INVARIANT(config->keep_segments == 0 || config->snapshot_every > 0);
    INVARIANT(within(config->orders_max, 1, BOOK_ORDERS_MAX));
    INVARIANT(is_power(config->history_count) && within(config->history_count, 1024, 1 << 26));
    INVARIANT(is_power(config->in_flight_count) && within(config->in_flight_count, 1024, 1 << 22));
    INVARIANT(config->login_rate <= 10000000 && config->session_rate <= 10000000);
    INVARIANT(config->login_burst >= (config->login_rate + 99) / 100);
    INVARIANT(config->session_burst >= (config->session_rate + 99) / 100);
    INVARIANT(config->request_rate <= 10000000);
    INVARIANT(config->request_burst >= (config->request_rate + 99) / 100);
    INVARIANT(config->clock.halt_us == 0
                  ? config->clock.alarm_us == 0
                  : within(config->clock.alarm_us, 1, 1000000) &&
                        within(config->clock.halt_us, config->clock.alarm_us + 1, 10000000));
    INVARIANT(within(config->port_count, 1, CONFIG_PORTS_MAX));
    INVARIANT(within(config->shard_count, 1, CONFIG_SHARDS_MAX));
    INVARIANT(within(config->instrument_count, 1, BOOK_INSTRUMENTS_MAX));
    INVARIANT(within(config->session_count, 1, CONFIG_SESSIONS_MAX));
    for (uint32_t i = 0; i < config->port_count; i++)
        check_port(config, i);
    for (uint32_t i = 0; i < config->shard_count; i++)
        check_shard(config, i);
    check_lists(config);
}

static void check_refusal(const char *path, const char *text)
{
    size_t length = strlen(text), name = strlen(path);
    INVARIANT(length < sizeof(((struct error *)0)->text) && length > name + 2);
    INVARIANT(memcmp(text, path, name) == 0 && text[name] == ':');
    for (size_t i = 0; i < length; i++)
        INVARIANT(!iscntrl((unsigned char)text[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[32];
    // Other files of this host are nobody's input.
    if (memmem(data, size, "@include", 8))
        return -1;
    if (fd < 0) {
        fd = memfd_create("config", MFD_CLOEXEC);
        INVARIANT(fd >= 0);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    INVARIANT(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    struct error error = {{0}};
    struct config *config = config_load(path, &error);
    if (config)
        check_accepted(config);
    else
        check_refusal(path, error.text);
    config_free(config);
    return 0;
}
