// SPDX-License-Identifier: MIT
#include "xdp/loader.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "numa/invariant.h"
#include "xdp/steer.skel.h"

#define CAPABILITIES                                                                               \
    "run as root, or give the process CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW (systemd: "           \
    "AmbientCapabilities=)"

struct steer {
    struct steer_bpf *program;
    struct steer_options options;
    bool stamps;        // the stamping one of its two programs is loaded
    int link_fd;        // -1 until attached
    struct bound bound; // shard 0's row, the others behind it; no buckets until they are mapped
    int cpu_count;
    uint64_t *cpu_values; // room for one counter as the kernel gives it: one value per possible CPU
};

// Who else sits on the interface. What the kernel does not tell us stays zero: looking programs and
// links up by number takes CAP_SYS_ADMIN, which a gateway does not have.
struct occupant {
    uint32_t program_id;
    uint32_t link_id;
    int pid; // of a process that holds the link
    char name[BPF_OBJ_NAME_LEN];
};

// What libbpf complained of. It prints to stderr by default; our errors are one line.
static _Thread_local char complaint[160];

// The first complaint is the one nearest to the cause, but for the verifier's log, where it is the
// last line before the statistics.
static void keep_line(char *text)
{
    bool log = strstr(text, "-- BEGIN PROG LOAD LOG --") != NULL;
    if (complaint[0] != '\0' && !log)
        return;
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        if (strncmp(line, "processed ", 10) == 0)
            break;
        if (line[0] != '\0' && strstr(line, "PROG LOAD LOG --") == NULL)
            snprintf(complaint, sizeof(complaint), "%s", line);
    }
}

__attribute__((format(printf, 2, 0))) static int keep_complaint(enum libbpf_print_level level,
                                                                const char *format,
                                                                va_list arguments)
{
    char *text;
    if (level != LIBBPF_WARN || vasprintf(&text, format, arguments) < 0)
        return 0;
    keep_line(text);
    free(text);
    return 0;
}

static void load_failed(int code, struct error *error)
{
    if (code == -EPERM)
        error_set(error, "loading the XDP program: %s: " CAPABILITIES, strerror(-code));
    else
        error_set(error,
                  "loading the XDP program: %s (%s): a kernel of 5.19 or later is needed, with "
                  "CONFIG_BPF_SYSCALL and CONFIG_XDP_SOCKETS",
                  strerror(-code), complaint);
}

// BPF_F_XDP_DEV_BOUND_ONLY, kernel 6.3.
#define DEVICE_BOUND (1u << 6)

static uint32_t bucket_count(const struct steer *steer)
{
    return steer->options.shard_count << steer->bound.bits;
}

static void set_rate(const struct steer_rate *rate, __u64 *interval_ns, __u64 *ahead_ns)
{
    INVARIANT(rate->per_second <= 1000000000u && (rate->per_second == 0 || rate->burst > 0));
    *interval_ns = rate->per_second ? 1000000000u / rate->per_second : 0;
    *ahead_ns = *interval_ns * (rate->burst - 1ull);
}

static int size_maps(struct steer *steer)
{
    const struct steer_options *options = &steer->options;
    uint32_t meter_count = STEER_METER_SESSIONS + options->session_count;
    struct steer_bpf__rodata *constants = steer->program->rodata;
    constants->shard_count = options->shard_count;
    constants->meter_count = meter_count;
    constants->bucket_bits = steer->bound.bits;
    constants->bucket_multiplier = steer->bound.multiplier;
    constants->pin_mac = options->pin_mac;
    set_rate(&options->login, &constants->login_interval_ns, &constants->login_ahead_ns);
    set_rate(&options->session, &constants->session_interval_ns, &constants->session_ahead_ns);
    set_rate(&options->request, &constants->request_interval_ns, &constants->request_ahead_ns);
    const struct {
        struct bpf_map *map;
        uint32_t count;
    } sizes[] = {
        {steer->program->maps.sockets, options->queue_count * options->shard_count},
        {steer->program->maps.bound, bucket_count(steer)},
        {steer->program->maps.meters, options->shard_count * meter_count},
    };
    int code = 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && code == 0; i++)
        code = bpf_map__set_max_entries(sizes[i].map, sizes[i].count);
    return code;
}

static int map_bound(struct steer *steer)
{
    void *buckets =
        mmap(NULL, bucket_count(steer) * sizeof(struct steer_bucket), PROT_READ | PROT_WRITE,
             MAP_SHARED, bpf_map__fd(steer->program->maps.bound), 0);
    if (buckets == MAP_FAILED)
        return -errno;
    steer->bound.buckets = buckets;
    return 0;
}

// Opens the program and loads one of the two. 0, or the negative errno.
static int load(struct steer *steer, const char *stamped_interface)
{
    steer->program = steer_bpf__open();
    if (!steer->program)
        return -errno;
    struct bpf_program *plain = steer->program->progs.steer;
    struct bpf_program *stamping = steer->program->progs.steer_stamping;
    steer->stamps = stamped_interface != NULL;
    bpf_program__set_autoload(steer->stamps ? plain : stamping, false);
    if (steer->stamps) {
        bpf_program__set_ifindex(stamping, if_nametoindex(stamped_interface));
        bpf_program__set_flags(stamping, DEVICE_BOUND);
    }
    int code = size_maps(steer);
    if (code == 0)
        code = steer_bpf__load(steer->program);
    return code ? code : map_bound(steer);
}

// What hashing is done with is nobody's to guess.
static uint64_t secret_multiplier(void)
{
    uint64_t multiplier;
    INVARIANT(getrandom(&multiplier, sizeof(multiplier), 0) == (ssize_t)sizeof(multiplier));
    return multiplier | 1;
}

struct steer *steer_load(const struct steer_options *options, struct error *error)
{
    INVARIANT(options->queue_count >= 1 && options->queue_count <= STEER_QUEUES_MAX);
    INVARIANT(options->shard_count >= 1 && options->shard_count <= STEER_SHARDS_MAX);
    INVARIANT(options->session_count >= 1 && options->session_count <= STEER_SESSIONS_MAX);
    complaint[0] = '\0';
    libbpf_set_print(keep_complaint);
    struct steer *steer = calloc(1, sizeof(*steer));
    INVARIANT(steer);
    steer->link_fd = -1;
    steer->options = *options;
    steer->bound.bits = bound_bits(options->session_count);
    steer->bound.multiplier = secret_multiplier();
    steer->cpu_count = libbpf_num_possible_cpus();
    int code = steer->cpu_count < 1 ? steer->cpu_count : load(steer, options->stamped_interface);
    if (code != 0 && steer->stamps && code != -EPERM) {
        steer_bpf__destroy(steer->program);
        complaint[0] = '\0';
        code = load(steer, NULL);
    }
    if (code == 0) {
        steer->cpu_values = calloc((size_t)steer->cpu_count, sizeof(*steer->cpu_values));
        INVARIANT(steer->cpu_values);
    } else {
        load_failed(code, error);
        steer_close(steer);
        return NULL;
    }
    return steer;
}

// A line "key:\tvalue" of a /proc/PID/fdinfo file.
static bool fdinfo_number(const char *text, const char *key, uint32_t *number)
{
    const char *line = strstr(text, key);
    return line && sscanf(line + strlen(key), " %u", number) == 1;
}

static bool fdinfo_is_link_of(int directory, const char *file, uint32_t program_id,
                              uint32_t interface_index, uint32_t *link_id)
{
    char text[1024];
    int fd = openat(directory, file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[size > 0 ? size : 0] = '\0';
    uint32_t program, index;
    return strstr(text, "link_type:\txdp\n") && fdinfo_number(text, "\nprog_id:", &program) &&
           program == program_id && fdinfo_number(text, "\nifindex:", &index) &&
           index == interface_index && fdinfo_number(text, "\nlink_id:", link_id);
}

static bool process_holds_link(const char *pid, uint32_t program_id, uint32_t interface_index,
                               uint32_t *link_id)
{
    char path[300];
    snprintf(path, sizeof(path), "/proc/%s/fdinfo", pid);
    DIR *files = opendir(path);
    if (!files)
        return false;
    bool found = false;
    for (struct dirent *file = readdir(files); file && !found; file = readdir(files))
        found = isdigit((unsigned char)file->d_name[0]) &&
                fdinfo_is_link_of(dirfd(files), file->d_name, program_id, interface_index, link_id);
    closedir(files);
    return found;
}

// Processes of the same user can be looked into without privilege, unlike links and programs.
static void find_holder(struct occupant *occupant, uint32_t interface_index)
{
    DIR *processes = opendir("/proc");
    if (!processes)
        return;
    for (struct dirent *process = readdir(processes); process && occupant->pid == 0;
         process = readdir(processes))
        if (isdigit((unsigned char)process->d_name[0]) &&
            process_holds_link(process->d_name, occupant->program_id, interface_index,
                               &occupant->link_id))
            occupant->pid = atoi(process->d_name);
    closedir(processes);
}

// The link of a process that we may not look into, or one that is pinned in a bpf file system.
static void find_link(struct occupant *occupant, uint32_t interface_index)
{
    uint32_t id = 0;
    while (occupant->link_id == 0 && bpf_link_get_next_id(id, &id) == 0) {
        struct bpf_link_info info = {0};
        uint32_t info_size = sizeof(info);
        int fd = bpf_link_get_fd_by_id(id);
        if (fd < 0)
            continue;
        if (bpf_obj_get_info_by_fd(fd, &info, &info_size) == 0 && info.type == BPF_LINK_TYPE_XDP &&
            info.prog_id == occupant->program_id && info.xdp.ifindex == interface_index)
            occupant->link_id = id;
        close(fd);
    }
}

static void find_name(struct occupant *occupant)
{
    struct bpf_prog_info info = {0};
    uint32_t info_size = sizeof(info);
    int fd = bpf_prog_get_fd_by_id(occupant->program_id);
    if (fd < 0)
        return;
    if (bpf_obj_get_info_by_fd(fd, &info, &info_size) == 0)
        memcpy(occupant->name, info.name, sizeof(occupant->name) - 1);
    close(fd);
}

// The word of `ip link set` that takes it off again: plain "xdp" reaches only the driver's path
// where the driver has one.
static const char *mode_word(uint8_t attach_mode)
{
    return attach_mode == XDP_ATTACHED_SKB  ? "xdpgeneric"
           : attach_mode == XDP_ATTACHED_HW ? "xdpoffload"
                                            : "xdpdrv";
}

static void describe(const struct occupant *occupant, char *text, size_t text_size)
{
    char name[32] = "", holder[32] = "";
    if (occupant->name[0] != '\0')
        snprintf(name, sizeof(name), " \"%s\"", occupant->name);
    if (occupant->pid != 0)
        snprintf(holder, sizeof(holder), ", held by process %d", occupant->pid);
    snprintf(text, text_size, "id %u%s%s", occupant->program_id, name, holder);
}

static uint32_t program_found(const struct bpf_xdp_query_opts *query)
{
    return query->prog_id       ? query->prog_id
           : query->drv_prog_id ? query->drv_prog_id
                                : query->skb_prog_id;
}

uint32_t steer_program_on(const char *interface)
{
    LIBBPF_OPTS(bpf_xdp_query_opts, query);
    int failed = bpf_xdp_query((int)if_nametoindex(interface), 0, &query);
    return failed ? 0 : program_found(&query);
}

// The kernel has said that the interface is taken: by whom?
static int occupied(const struct steer *steer, const char *interface, uint32_t index,
                    struct error *error)
{
    LIBBPF_OPTS(bpf_xdp_query_opts, query);
    struct occupant occupant = {0};
    if (bpf_xdp_query((int)index, 0, &query) == 0)
        occupant.program_id = program_found(&query);
    if (occupant.program_id == 0)
        return error_set(error,
                         "attaching to %s: another XDP program was there a moment ago: "
                         "try again",
                         interface);
    find_holder(&occupant, index);
    if (occupant.link_id == 0)
        find_link(&occupant, index);
    find_name(&occupant);
    char who[80];
    describe(&occupant, who, sizeof(who));
    if (strcmp(occupant.name, bpf_program__name(steer->program->progs.steer)) == 0)
        return error_set(error,
                         "attaching to %s: another instance of sluice runs on this interface (XDP "
                         "program %s): stop that one first",
                         interface, who);
    if (occupant.link_id != 0)
        return error_set(error,
                         "attaching to %s: it has another XDP program already, %s: stop its owner, "
                         "or remove it with `bpftool link detach id %u`",
                         interface, who, occupant.link_id);
    return error_set(error,
                     "attaching to %s: it has another XDP program already, %s: stop its owner, or "
                     "remove it with `ip link set dev %s %s off`",
                     interface, who, interface, mode_word(query.attach_mode));
}

static void find_driver(const char *interface, char driver[32])
{
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq request = {.ifr_data = (char *)&info};
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool known = fd >= 0 && ioctl(fd, SIOCETHTOOL, &request) == 0;
    if (fd >= 0)
        close(fd);
    snprintf(driver, 32, "%s", known ? info.driver : "unknown");
}

// Drivers explain a refusal in text that a link does not carry, and in numbers that they share.
static int driver_refused(const char *interface, bool native, int code, struct error *error)
{
    char driver[32];
    find_driver(interface, driver);
    const char *where = native ? "natively" : "in the generic path";
    const char *why = strerror(-code);
    if (code == -EPERM || code == -EACCES)
        return error_set(error, "attaching to %s: %s: " CAPABILITIES, interface, why);
    if (code == -ENOSPC && strcmp(driver, "veth") == 0)
        return error_set(
            error,
            "attaching to %s natively: %s: the other end of this veth has more transmit "
            "queues than this end has receive queues: create the pair with equal "
            "counts, `ip link add ... numrxqueues N numtxqueues N type veth peer ... "
            "numrxqueues N numtxqueues N`",
            interface, why);
    if (code == -EOPNOTSUPP && native)
        return error_set(
            error,
            "attaching to %s natively: %s: its driver (%s) cannot run XDP programs, or "
            "not with these offloads: try `ethtool -K %s lro off rx-gro-hw off`, or "
            "attach in the generic path",
            interface, why, driver, interface);
    if (code == -ERANGE || code == -EINVAL)
        return error_set(error,
                         "attaching to %s %s: %s: most often an MTU that its driver (%s) cannot "
                         "combine with XDP: try `ip link set dev %s mtu 1500`, on both ends of a "
                         "veth pair",
                         interface, where, why, driver, interface);
    return error_set(error, "attaching to %s %s: %s: `dmesg` may have its driver's (%s) reason",
                     interface, where, why, driver);
}

int steer_attach(struct steer *steer, const char *interface, bool native, struct error *error)
{
    INVARIANT(steer->link_fd < 0);
    uint32_t index = if_nametoindex(interface);
    if (index == 0)
        return error_set(error, "attaching to %s: %s: `ip link` lists the interfaces there are",
                         interface, strerror(errno));
    // The mode is asked for by name: without one, the kernel falls back to the slow path in
    // silence.
    LIBBPF_OPTS(bpf_link_create_opts, options,
                .flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
    int fd = bpf_link_create(steer_program_fd(steer), (int)index, BPF_XDP, &options);
    if (fd == -EBUSY || fd == -EEXIST)
        return occupied(steer, interface, index, error);
    if (fd < 0)
        return driver_refused(interface, native, fd, error);
    steer->link_fd = fd;
    return 0;
}

int steer_add_destination(struct steer *steer, uint32_t address, uint16_t port, uint32_t shard,
                          bool open, struct error *error)
{
    INVARIANT(shard < steer->options.shard_count);
    struct steer_destination destination = {.address = address, .port = port};
    struct steer_target target = {.shard = shard, .open = open};
    int code = bpf_map__update_elem(steer->program->maps.shards, &destination, sizeof(destination),
                                    &target, sizeof(target), BPF_NOEXIST);
    if (code == 0)
        return 0;
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address, text, sizeof(text));
    return error_set(error, "steering %s:%u to shard %u: %s: %s", text, ntohs(port), shard,
                     strerror(-code),
                     code == -EEXIST  ? "a shard has it already: give each a port of its own"
                     : code == -E2BIG ? "no more destinations than STEER_DESTINATIONS_MAX"
                                      : "the map `shards` refuses the entry");
}

struct bound steer_bound(const struct steer *steer, uint32_t shard)
{
    INVARIANT(shard < steer->options.shard_count);
    struct bound bound = steer->bound;
    bound.buckets += (size_t)shard << bound.bits;
    return bound;
}

static uint32_t socket_place(const struct steer *steer, uint32_t queue, uint32_t shard)
{
    INVARIANT(queue < steer->options.queue_count && shard < steer->options.shard_count);
    return queue * steer->options.shard_count + shard;
}

int steer_add_socket(struct steer *steer, uint32_t queue, uint32_t shard, int socket_fd,
                     struct error *error)
{
    uint32_t place = socket_place(steer, queue, shard);
    uint32_t value = (uint32_t)socket_fd;
    int code = bpf_map__update_elem(steer->program->maps.sockets, &place, sizeof(place), &value,
                                    sizeof(value), BPF_ANY);
    if (code == 0)
        return 0;
    return error_set(error,
                     "steering queue %u, shard %u to its socket: %s: the descriptor must be an "
                     "AF_XDP socket with a receive ring",
                     queue, shard, strerror(-code));
}

void steer_remove_sockets(struct steer *steer)
{
    uint32_t count = steer->options.queue_count * steer->options.shard_count;
    for (uint32_t place = 0; place < count; ++place)
        bpf_map__delete_elem(steer->program->maps.sockets, &place, sizeof(place), 0);
}

int steer_counters(const struct steer *steer, uint64_t counters[STEER_VERDICT_COUNT],
                   struct error *error)
{
    size_t size = (size_t)steer->cpu_count * sizeof(*steer->cpu_values);
    for (uint32_t verdict = 0; verdict < STEER_VERDICT_COUNT; ++verdict) {
        int code = bpf_map__lookup_elem(steer->program->maps.counters, &verdict, sizeof(verdict),
                                        steer->cpu_values, size, 0);
        if (code != 0)
            return error_set(error, "reading the XDP program's counters: %s", strerror(-code));
        counters[verdict] = 0;
        for (int cpu = 0; cpu < steer->cpu_count; ++cpu)
            counters[verdict] += steer->cpu_values[cpu];
    }
    return 0;
}

int steer_program_fd(const struct steer *steer)
{
    return bpf_program__fd(steer->stamps ? steer->program->progs.steer_stamping
                                         : steer->program->progs.steer);
}

bool steer_stamps(const struct steer *steer)
{
    return steer->stamps;
}

void steer_close(struct steer *steer)
{
    if (!steer)
        return;
    if (steer->link_fd >= 0)
        close(steer->link_fd);
    if (steer->bound.buckets)
        munmap(steer->bound.buckets, bucket_count(steer) * sizeof(struct steer_bucket));
    steer_bpf__destroy(steer->program);
    free(steer->cpu_values);
    free(steer);
}
