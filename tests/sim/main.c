// SPDX-License-Identifier: MIT
//
// sim: the house on simulated disks and networks, seed after seed (see sim.h). Usage:
//
//     sim [--seed N] [--count N] [--seconds N] [--steps N] [--clients N] [--faults NAME,…|all|none]
//         [--trace] [--supervised] [--plant NAME] [--save FOLDER]
//
// Each seed is played in a process of its own. Where one breaks a promise the same seed is played
// again and again with less, and the least that still breaks it is printed, with what happens in
// it. Ends with one line of counts; the status is 1 when a promise was broken. --plant, in builds
// with FAULTS=1, plants one of the faults of numa/fault.h; the first seed that finds it is the
// last, and "seed N finds it: " the promise says so: a seed that ends in any other way, or not at
// all, has found nothing. --supervised has somebody kill in every house (supervisor.h). --save
// writes what is on the disk in the end into a folder.
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "numa/fault.h"
#include "tests/sim/shares.h"

#define JOBS_MAX    64
#define SECONDS_MAX 20 // of a core's time, for a seed

static const char *const fault_names[] = SIM_FAULT_NAMES;

struct total {
    _Atomic uint64_t steps, commands, messages, recoveries, rots, snapshots, refusals, fetches,
        kills, races, moves;
};
static struct total *total; // shared with the players
static bool planted;        // a fault: one seed that finds it will do

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// In the child: what is printed goes to `out`.
static void play(const struct sim_plan *plan, int out)
{
    struct sim_report report;
    dup2(out, 2);
    // What goes round and round is broken too.
    setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = SECONDS_MAX}, NULL);
    sim_run(plan, &report);
    shares_run(plan, &report);
    total->steps += report.steps;
    total->commands += report.commands;
    total->messages += report.messages;
    total->recoveries += report.recoveries;
    total->rots += report.rots;
    total->snapshots += report.snapshots;
    total->refusals += report.refusals;
    total->fetches += report.fetches;
    total->kills += report.kills;
    total->races += report.races;
    total->moves += report.moves;
    _exit(0);
}

static pid_t start(const struct sim_plan *plan, FILE *out)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        perror("sim: fork");
        exit(2);
    }
    if (pid == 0)
        play(plan, fileno(out));
    return pid;
}

static bool succeeds(const struct sim_plan *plan)
{
    FILE *out = tmpfile();
    int status = 0;
    if (!out)
        return true;
    waitpid(start(plan, out), &status, 0);
    fclose(out);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// The same seed with fewer steps, faults and clients, as long as it breaks.
static struct sim_plan shrink(struct sim_plan plan)
{
    for (uint32_t cut = plan.steps / 2; cut > 0;) {
        struct sim_plan less = plan;
        less.steps = cut < plan.steps ? plan.steps - cut : plan.steps;
        if (less.steps < plan.steps && !succeeds(&less))
            plan = less;
        else
            cut /= 2;
    }
    for (uint32_t fault = 0; fault < SIM_FAULT_COUNT; fault++) {
        struct sim_plan less = plan;
        less.faults &= ~(1u << fault);
        if (less.faults != plan.faults && !succeeds(&less))
            plan = less;
    }
    while (plan.clients > 1) {
        struct sim_plan less = plan;
        less.clients--;
        if (succeeds(&less))
            break;
        plan = less;
    }
    return plan;
}

static void print_faults(uint32_t faults)
{
    if (faults == SIM_FAULTS_ALL || faults == 0) {
        printf("%s", faults ? "all" : "none");
        return;
    }
    const char *comma = "";
    for (uint32_t i = 0; i < SIM_FAULT_COUNT; i++)
        if (faults >> i & 1) {
            printf("%s%s", comma, fault_names[i]);
            comma = ",";
        }
}

static void print_file(FILE *file)
{
    char line[1024];
    rewind(file);
    while (fgets(line, sizeof(line), file))
        if (strncmp(line, "sluice: warning", 15) != 0)
            printf("  %s", line);
}

static void explain(const struct sim_plan *plan)
{
    struct sim_plan least = shrink(*plan);
    printf("seed %" PRIu64 " breaks a promise; the least found that does: sim --seed %" PRIu64
           " --steps %u --clients %u --faults ",
           plan->seed, plan->seed, least.steps, least.clients);
    print_faults(least.faults);
    printf(" --trace\n");
    FILE *out = tmpfile();
    if (!out)
        return;
    least.trace = true;
    waitpid(start(&least, out), NULL, 0);
    print_file(out);
    fclose(out);
}

static uint32_t parse_faults(const char *text)
{
    if (strcmp(text, "all") == 0)
        return SIM_FAULTS_ALL;
    uint32_t faults = 0;
    char copy[256];
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *name = strtok(copy, ","); name; name = strtok(NULL, ",")) {
        uint32_t i = 0;
        while (i < SIM_FAULT_COUNT && strcmp(name, fault_names[i]) != 0)
            i++;
        if (i == SIM_FAULT_COUNT && strcmp(name, "none") != 0) {
            fprintf(stderr, "sim: no fault is called %s\n", name);
            exit(2);
        }
        faults |= i < SIM_FAULT_COUNT ? 1u << i : 0;
    }
    return faults;
}

struct job {
    pid_t pid;
    struct sim_plan plan;
    FILE *out;
};

struct campaign {
    struct sim_plan plan;
    uint64_t count;
    double seconds;
    bool steps_given, clients_given, faults_given;
};

// Small ones and large ones: what is not given follows from the seed.
static struct sim_plan plan_of(const struct campaign *campaign, uint64_t seed)
{
    struct random random = {seed ^ 0x5157A9E1ull};
    struct sim_plan plan = campaign->plan;
    plan.seed = seed;
    if (!campaign->steps_given)
        plan.steps = 200 + random_below(&random, 6000);
    if (!campaign->clients_given)
        plan.clients = 1 + random_below(&random, SIM_CLIENTS_MAX);
    // Half of the seeds have everything go wrong, the others this or that.
    if (!campaign->faults_given && random_percent(&random, 50))
        plan.faults &= (uint32_t)random_bits(&random);
    return plan;
}

// The promise that the seed says is broken; false when it says nothing of the kind.
static bool find_broken(FILE *file, char *line, int size)
{
    rewind(file);
    while (fgets(line, size, file))
        if (strncmp(line, SIM_BROKEN, strlen(SIM_BROKEN)) == 0)
            return true;
    return false;
}

// A fault is planted: whether this seed has found it.
static bool finish_planted(const struct job *job, int status)
{
    char line[1024];
    bool says_so =
        WIFEXITED(status) && WEXITSTATUS(status) == 1 && find_broken(job->out, line, sizeof(line));
    if (says_so)
        printf("seed %" PRIu64 " finds it: %s", job->plan.seed, line + strlen(SIM_BROKEN));
    else
        printf("seed %" PRIu64 " ends with %s %d\n", job->plan.seed,
               WIFSIGNALED(status) ? "signal" : "status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return says_so;
}

static void finish_broken(const struct job *job, int status)
{
    bool endless = WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF;
    if (endless)
        printf("seed %" PRIu64 " does not end within %d s\n", job->plan.seed, SECONDS_MAX);
    else if (!job->plan.trace)
        explain(&job->plan);
    if (endless || job->plan.trace)
        print_file(job->out);
}

static void finish(struct job *job, int status, uint64_t *broken)
{
    bool kept = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!kept && planted) {
        *broken += finish_planted(job, status);
    } else if (!kept) {
        finish_broken(job, status);
        ++*broken;
    } else if (job->plan.trace) {
        print_file(job->out);
    }
    fclose(job->out);
    job->pid = 0;
}

static uint64_t run(const struct campaign *campaign, uint64_t *played)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t job_count = cores < 1 ? 1 : cores > JOBS_MAX ? JOBS_MAX : (uint32_t)cores;
    struct job jobs[JOBS_MAX] = {0};
    double until = seconds_now() + campaign->seconds;
    uint64_t next = 0, broken = 0, running = 0;
    for (;;) {
        for (uint32_t i = 0; i < job_count; i++) {
            bool more = campaign->seconds > 0 ? seconds_now() < until : next < campaign->count;
            if (jobs[i].pid != 0 || !more || broken >= (planted ? 1 : 3))
                continue;
            jobs[i].plan = plan_of(campaign, campaign->plan.seed + next++);
            jobs[i].out = tmpfile();
            if (!jobs[i].out)
                exit(2);
            jobs[i].pid = start(&jobs[i].plan, jobs[i].out);
            running++;
        }
        if (running == 0)
            break;
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        for (uint32_t i = 0; i < job_count; i++)
            if (jobs[i].pid == pid) {
                finish(&jobs[i], status, &broken);
                running--;
            }
    }
    *played = next;
    return broken;
}

static void plant(const char *name)
{
#ifdef SLUICE_FAULTS
    static const char *const names[] = FAULT_NAMES;
    for (int i = 0; i < FAULT_COUNT; i++)
        if (strcmp(name, names[i]) == 0) {
            fault_planted = (enum fault)i;
            planted = i != FAULT_NONE;
            return;
        }
    fprintf(stderr, "sim: no fault to plant is called %s; there are:", name);
    for (int i = 0; i < FAULT_COUNT; i++)
        fprintf(stderr, " %s", names[i]);
    fprintf(stderr, "\n");
#else
    fprintf(stderr, "sim: %s cannot be planted: build it with make FAULTS=1\n", name);
#endif
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"count", required_argument, NULL, 'c'},
                                            {"seconds", required_argument, NULL, 't'},
                                            {"steps", required_argument, NULL, 'n'},
                                            {"clients", required_argument, NULL, 'k'},
                                            {"faults", required_argument, NULL, 'f'},
                                            {"trace", no_argument, NULL, 'v'},
                                            {"supervised", no_argument, NULL, 'r'},
                                            {"plant", required_argument, NULL, 'p'},
                                            {"save", required_argument, NULL, 'w'},
                                            {0}};
    // Nearly all time was the kernel's, for memory given back and asked for again.
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    struct campaign campaign = {.plan = {.seed = 1, .faults = SIM_FAULTS_ALL}, .count = 1};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 's')
            campaign.plan.seed = strtoull(optarg, NULL, 0);
        else if (option == 'c')
            campaign.count = strtoull(optarg, NULL, 0);
        else if (option == 't')
            campaign.seconds = strtod(optarg, NULL);
        else if (option == 'n')
            campaign.plan.steps = (uint32_t)strtoul(optarg, NULL, 0);
        else if (option == 'k')
            campaign.plan.clients = (uint32_t)strtoul(optarg, NULL, 0);
        else if (option == 'f') {
            campaign.plan.faults = parse_faults(optarg);
            campaign.faults_given = true;
        } else if (option == 'v')
            campaign.plan.trace = true;
        else if (option == 'r')
            campaign.plan.supervised = true;
        else if (option == 'p')
            plant(optarg);
        else if (option == 'w')
            campaign.plan.save = optarg;
        else
            return 2;
    }
    campaign.steps_given = campaign.plan.steps > 0;
    campaign.clients_given = campaign.plan.clients > 0;
    if (campaign.plan.clients > SIM_CLIENTS_MAX) {
        fprintf(stderr, "sim: 1 to %u clients\n", SIM_CLIENTS_MAX);
        return 2;
    }
    total = mmap(NULL, sizeof(*total), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (total == MAP_FAILED)
        return 2;
    double began = seconds_now();
    uint64_t played, broken = run(&campaign, &played);
    double took = seconds_now() - began;
    printf("%" PRIu64 " seeds from %" PRIu64 ", %" PRIu64 " broken: %" PRIu64 " commands, %" PRIu64
           " messages, %" PRIu64 " read again from the journal, %" PRIu64 " snapshots, %" PRIu64
           " damages, %" PRIu64 " starts refused, %" PRIu64 " recoveries, %" PRIu64
           " kills, %" PRIu64 " raced with fills, %" PRIu64 " shares moved, %.0f a minute\n",
           played, campaign.plan.seed, broken, total->commands, total->messages, total->fetches,
           total->snapshots, total->rots, total->refusals, total->recoveries, total->kills,
           total->races, total->moves, (double)total->recoveries / took * 60);
    return broken > 0;
}
