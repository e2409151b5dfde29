// SPDX-License-Identifier: MIT
//
// Attaching the XDP program: where it is refused, the error says why and which command helps. And
// the capabilities that it takes.
#include <linux/capability.h>
#include <linux/if_link.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/unit/steer_bench.h"

TestSuite(steer_attach, .timeout = 120);

static void expect_refused(struct steer *steer, const char *interface, bool native,
                           const char *words[], struct error *error)
{
    cr_assert_eq(steer_attach(steer, interface, native, error), -1);
    fprintf(stderr, "steer: refused: %s\n", error->text);
    for (; *words; ++words)
        cr_assert(strstr(error->text, *words), "no \"%s\" in: %s", *words, error->text);
    cr_assert_null(strchr(error->text, '\n'));
}

#define WORDS(...) ((const char *[]){__VA_ARGS__, NULL})

static struct steer *load_only(void)
{
    return load_with(&usual);
}

// Runs the first command that the error recommends, and tries again.
static void expect_remedy_works(struct steer *steer, bool native, struct error *error)
{
    char *command = strchr(error->text, '`') + 1;
    *strchr(command, '`') = '\0';
    shell("%s", command);
    cr_assert_eq(steer_attach(steer, "v0", native, error), 0, "%s", error->text);
}

Test(steer_attach, a_second_instance_is_refused_until_the_first_is_closed, .init = enter_namespace)
{
    struct error error = {{0}};
    char process[32];
    snprintf(process, sizeof(process), "process %d)", getpid());
    for (int native = 0; native <= 1; ++native) {
        struct steer *first = load_only(), *second = load_only();
        cr_assert_eq(steer_attach(first, "v0", native, &error), 0, "%s", error.text);
        expect_refused(second, "v0", native, WORDS("v0", "another instance of sluice", process),
                       &error);
        expect_refused(second, "v0", !native, WORDS("v0", "another instance of sluice", process),
                       &error);
        steer_close(first);
        cr_assert_eq(steer_attach(second, "v0", native, &error), 0, "%s", error.text);
        steer_close(second);
    }
}

Test(steer_attach, an_instance_that_was_killed_no_longer_holds_the_interface,
     .init = enter_namespace)
{
    struct error error = {{0}};
    struct steer *steer = load_only();
    int ready[2];
    char process[32], byte;
    cr_assert_eq(pipe(ready), 0);
    pid_t other = fork();
    if (other == 0) {
        struct steer *first = steer_load(&usual, NULL);
        if (first && steer_attach(first, "v0", true, NULL) == 0 && write(ready[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    snprintf(process, sizeof(process), "process %d)", other);
    expect_refused(steer, "v0", true, WORDS("another instance of sluice", process), &error);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    int code = -1;
    for (int tries = 0; tries < 100 && code != 0; ++tries) {
        code = steer_attach(steer, "v0", true, &error);
        usleep(10000);
    }
    cr_assert_eq(code, 0, "%s", error.text);
    steer_close(steer);
}

Test(steer_attach, a_foreign_program_is_named_with_the_command_that_removes_it,
     .init = enter_namespace)
{
    struct error error = {{0}};
    int index = (int)if_nametoindex("v0"), fd = load_foreign();
    for (int native = 0; native <= 1; ++native) {
        uint32_t flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
        struct steer *steer = load_only();
        cr_assert_eq(bpf_xdp_attach(index, fd, flags, NULL), 0);
        expect_refused(steer, "v0", true, WORDS("v0", "foreign_filter", "ip link set dev v0"),
                       &error);
        expect_remedy_works(steer, true, &error);
        steer_close(steer);
    }
}

Test(steer_attach, a_foreign_link_is_named_with_its_owner_and_the_command_that_removes_it,
     .init = enter_namespace)
{
    struct error error = {{0}};
    char process[32];
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
    snprintf(process, sizeof(process), "process %d", getpid());
    struct steer *steer = load_only();
    cr_assert_geq(bpf_link_create(load_foreign(), (int)if_nametoindex("v0"), BPF_XDP, &options), 0);
    expect_refused(steer, "v0", true, WORDS("foreign_filter", process, "bpftool link detach id"),
                   &error);
    expect_remedy_works(steer, true, &error);
    steer_close(steer);
}

Test(steer_attach, an_interface_that_cannot_is_refused_with_the_reason, .init = enter_namespace)
{
    struct error error = {{0}};
    struct steer *steer = load_only();
    shell("ip link add w0 numrxqueues 1 numtxqueues 4 type veth peer name w1 numrxqueues 1 "
          "numtxqueues 4 && ip link add x0 type veth peer name x1 && ip link set x1 mtu 9000");
    expect_refused(steer, "nonesuch", true, WORDS("nonesuch", "No such device", "ip link"), &error);
    expect_refused(steer, "w0", true, WORDS("w0", "numrxqueues N numtxqueues N"), &error);
    expect_refused(steer, "x0", true, WORDS("x0", "veth", "ip link set dev x0 mtu 1500"), &error);
    expect_refused(steer, "lo", true, WORDS("lo", "Operation not supported", "generic"), &error);
    cr_assert_eq(steer_attach(steer, "lo", false, &error), 0, "%s", error.text);
    steer_close(steer);
}

// Capabilities.

static void keep_capabilities(uint64_t capabilities)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    for (int half = 0; half < 2; ++half)
        data[half].effective = data[half].permitted = (uint32_t)(capabilities >> 32 * half);
    cr_assert_eq(syscall(SYS_capset, &header, data), 0);
}

#define CAPABILITY(name) (1ull << CAP_##name)

Test(steer_attach, three_capabilities_are_enough, .init = enter_namespace)
{
    uint8_t frame[FRAME_SIZE];
    struct error error = {{0}};
    struct queue_memory memory = {0};
    struct bound_socket bound = {0};
    uint64_t counters[STEER_VERDICT_COUNT] = {0};
    keep_capabilities(CAPABILITY(BPF) | CAPABILITY(NET_ADMIN) | CAPABILITY(NET_RAW));
    struct steer *steer = open_steer_with_sockets(&memory, &bound);
    size_t size = valid_frame(frame, PACKET_NO_VLAN, 20);
    expect(steer, counters, frame, size, STEER_REDIRECT);
    time_verdict(steer, frame, size, STEER_REDIRECT, "with three capabilities");
    struct steer *second = load_only();
    expect_refused(second, "v0", true, WORDS("v0", "already", "held by process"), &error);
    steer_close(second);
    steer_close(steer);
    close_sockets(&bound, 1, &memory);
}

Test(steer_attach, without_a_capability_the_error_names_it, .init = enter_namespace)
{
    struct error error = {{0}};
    keep_capabilities(CAPABILITY(BPF) | CAPABILITY(NET_RAW));
    cr_assert_null(steer_load(&usual, &error));
    cr_assert(strstr(error.text, "CAP_NET_ADMIN"), "%s", error.text);
    keep_capabilities(CAPABILITY(NET_RAW));
    cr_assert_null(steer_load(&usual, &error));
    cr_assert(strstr(error.text, "CAP_BPF"), "%s", error.text);
    fprintf(stderr, "steer: refused: %s\n", error.text);
}
