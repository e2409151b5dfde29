# make          build/sluice and build/libbook.a
# make run      the main job, on a fresh Debian 12, as root
# make test     every test, on a fresh Debian 12, as root
# make lint     what can be said of the sources without running them
# make test-changed  those that the change since BASE touches (main); at home
# make flake    the tests that fit ONLY=word COUNT times (20): which failed, and how often
# make test-dpdk  the lab's tests over DPDK (make test has some of them)
# make test-numa  the gateway on two NUMA nodes, in a QEMU guest (make test has it too)
# make sim      the house on simulated disks and networks: SEED=, COUNT=, SECONDS=
# make fuzz     the fuzzers for TIME seconds each (60), ONLY=name
# make bench    measure: a report with plots in build/bench, ONLY=part
# make adapter  the book behind the C interface of github.com/flash1-dev/matching-engine-benchmark
# make install  into $(DESTDIR)$(PREFIX)
#
# make SAN=address,undefined, make SAN=thread, make CC=clang and make FAULTS=1 (mistakes that the
# simulation can be told to make, and places to die at) build variants, each in a folder of its own; make V=1 shows the
# commands.

CC     ?= gcc
ifeq ($(origin CC),default)
CC     := gcc
endif
CLANG  ?= clang
PREFIX ?= /usr/local
SAN    ?=
comma  := ,
ifneq ($(SAN),)
variant := -$(subst $(comma),-,$(SAN))
endif
ifneq ($(notdir $(CC)),gcc)
variant := $(variant)-$(notdir $(CC))
endif
ifneq ($(FAULTS),)
variant := $(variant)-faults
endif
B ?= build$(variant)

OPT       ?= -O2
CFLAGS    := -std=gnu17 -Wall -Wextra -Werror -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes \
             $(OPT) -g -fno-omit-frame-pointer -D_GNU_SOURCE -I. -I$(B)/gen -pthread \
             $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all) $(if $(FAULTS),-DSLUICE_FAULTS)
CXXFLAGS  := -std=c++17 -Wall -Wextra -Werror -Wshadow $(OPT) -g -fno-omit-frame-pointer -I. \
             $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
# Functions are found at start: at their first call that takes time from an order, and leaves what
# the registers hold, a password too, on the stack.
LDFLAGS   := -pthread -Wl,-z,now $(if $(SAN),-fsanitize=$(SAN))
LDLIBS    := -lxdp -lbpf -lelf -lz -lconfig -ljansson -lisal -lpcap -lnuma -lhwloc -lsodium -lseccomp -lm
BPFFLAGS  := -O2 -g -target bpf -Wall -Wextra -Werror -I. -I/usr/include/$(shell uname -m)-linux-gnu

Q     := $(if $(V),,@)
quiet := --no-print-directory $(if $(V),,-s)

rooms     := numa book journal xdp dataplane
sources   := $(filter-out %.bpf.c dataplane/port_dpdk.c,$(wildcard $(rooms:%=%/*.c)))
objects   := $(sources:%.c=$(B)/%.o)
shared    := $(filter-out $(B)/dataplane/main.o,$(objects))
unit      := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))
bench     := $(patsubst tests/bench/%.c,$(B)/tests/bench/%,$(wildcard tests/bench/bench_*.c))
headers   := $(wildcard $(rooms:%=%/*.h))
formatted := $(wildcard $(rooms:%=%/*.[ch]) tests/*/*.[ch] tests/*/*.cc)
dpdk      := $(shell pkg-config --exists 'libdpdk >= 21.11' && echo $(B)/sluice-dpdk.so)

.PHONY: all run lint test test-changed flake test-dpdk test-numa unit variants sim fuzz bench adapter install clean format format-check FORCE
.SECONDARY:
all: $(B)/sluice $(B)/libbook.a $(dpdk)
FORCE:

$(B)/sluice: $(objects)
	$(Q)$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(B)/libbook.a: $(patsubst %.c,$(B)/%.o,$(wildcard book/*.c))
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# Loaded when a configuration asks for it; shares nothing with the program but what it is called with. DPDK's
# headers are not held to our warnings.
$(B)/sluice-dpdk.so: dataplane/port_dpdk.c numa/error.c $(headers) $(B)/flags
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(patsubst -I%,-isystem %,$(shell pkg-config --cflags libdpdk)) -fPIC -fvisibility=hidden \
	    -shared $(LDFLAGS) $(filter %.c,$^) $(shell pkg-config --libs libdpdk) -o $@

# The core's inner loop gains a tenth from -O3; nothing else does.
book_flags := $(if $(SAN),,-O3)
$(B)/book/%.o: private CFLAGS += $(book_flags)

# How things are built: the file is written only when that changes, and then all of them are built again.
flags = $(CC) $(CFLAGS) $(book_flags) $(CXX) $(CXXFLAGS) $(CLANG) $(BPFFLAGS) $(FUZZ_FLAGS)
$(B)/flags: FORCE
	$(Q)mkdir -p $(@D)
	$(Q)echo '$(flags)' | cmp -s - $@ || echo '$(flags)' >$@

$(B)/%.o: %.c $(B)/flags
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c $< -o $@

$(B)/gen/xdp/steer.bpf.o: xdp/steer.bpf.c xdp/steer.h $(B)/flags
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPFFLAGS) -c $< -o $@
	$(Q)llvm-strip -g $@

$(B)/gen/xdp/steer.skel.h: $(B)/gen/xdp/steer.bpf.o
	$(Q)PATH=$$PATH:/usr/sbin bpftool gen skeleton $< name steer_bpf >$@

$(B)/xdp/loader.o: $(B)/gen/xdp/steer.skel.h

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(shared)
	$(Q)$(CC) $(LDFLAGS) $^ $(LDLIBS) -lcriterion -o $@

# It fails allocations.
$(B)/tests/unit/test_array: LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

$(B)/tests/bench/%: $(B)/tests/bench/%.o $(B)/tests/bench/row.o $(shared)
	$(Q)$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(B)/tests/sim/sim: $(patsubst %.c,$(B)/%.o,$(wildcard tests/sim/*.c)) $(shared)
	$(Q)$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

# The rings that ours is measured against, where they are installed.
ifeq ($(shell pkg-config --exists ck libdpdk && echo yes),yes)
$(B)/tests/bench/bench_ring.o: private CFLAGS += -DPEER_RINGS $(shell pkg-config --cflags libdpdk)
$(B)/tests/bench/bench_ring: LDLIBS += -lrte_ring
endif

# The peer that the book is measured against is C++.
$(B)/%.o: %.cc $(B)/flags
	$(Q)mkdir -p $(@D)
	$(Q)$(CXX) $(CXXFLAGS) -MMD -MP -c $< -o $@

$(B)/tests/bench/bench_book: $(B)/tests/bench/book_tape.o $(B)/tests/bench/peer_map.o
$(B)/tests/bench/bench_concurrency: $(B)/tests/bench/book_tape.o $(B)/tests/bench/peer_map.o
$(B)/tests/bench/bench_memory: $(B)/tests/bench/book_tape.o $(B)/tests/bench/peer_map.o $(B)/tests/bench/peer_vector.o
$(addprefix $(B)/tests/bench/bench_,book concurrency memory): LDLIBS += -lstdc++

# The fuzzer is clang's; the rooms under it are built with the same sanitizers. A target may have
# functions of its own in the place of a file's: the archive's are taken where there are none.
fuzzed     := $(filter-out dataplane/main.c dataplane/verb% dataplane/gateway.c,$(sources))
fuzz       := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_FLAGS := $(filter-out -fsanitize=% -fno-sanitize-recover=%,$(CFLAGS)) -fsanitize=address,undefined \
              -fno-sanitize-recover=all

$(B)/fuzz/%.o: %.c $(B)/flags
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@

$(B)/fuzz/xdp/loader.o: $(B)/gen/xdp/steer.skel.h

$(B)/fuzz/rooms.a: $(fuzzed:%.c=$(B)/fuzz/%.o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/tests/fuzz/%: tests/fuzz/%.c $(B)/fuzz/rooms.a $(B)/flags
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer -MMD -MP -MF $@.d $< $(B)/fuzz/rooms.a $(LDLIBS) -o $@

unit: $(unit)

# What the tests run besides: otherwise each builds its own when it is reached.
variants: $(B)/tests/sim/sim $(addprefix $(B)/tests/bench/bench_,copy receive) $(addprefix $(B)/tests/fuzz/,$(fuzz))
	$(Q)$(MAKE) $(quiet) B=$(B)-faults FAULTS=1 $(B)-faults/sluice $(B)-faults/tests/sim/sim
	$(Q)$(MAKE) $(quiet) B=build-thread SAN=thread all
	$(Q)$(MAKE) $(quiet) B=build-address-undefined SAN=address,undefined all
	$(Q)$(MAKE) $(quiet) B=build-clang CC=clang all
	$(Q)$(MAKE) $(quiet) B=build-O0 OPT=-O0 build-O0/sluice
	$(Q)$(MAKE) $(quiet) B=build-O3 OPT=-O3 build-O3/sluice

packages-run packages-test packages-bench packages-ci: packages-%:
	$(Q)scripts/install-packages $*

run: packages-run
	$(Q)$(MAKE) $(quiet) -j2 all
	$(Q)scripts/run

test: packages-test
	$(Q)$(MAKE) $(quiet) -j2 all unit variants
	$(Q)tests/run

lint: packages-ci format-check $(B)/gen/xdp/steer.skel.h
	$(Q)B=$(B) FLAGS="$(CFLAGS)" scripts/lint

BASE ?= main
test-changed: packages-test
	$(if $(CI),$(error make test-changed is for your own machine: CI runs every test))
	$(Q)$(MAKE) $(quiet) -j2 all unit
	$(Q)words=$$(B=$(B) tests/changed $(BASE)) && \
	    if [ -z "$$words" ]; then echo "no test is touched"; else B=$(B) tests/run $$words; fi

flake: packages-test
	$(if $(ONLY),,$(error make flake needs ONLY=word, as tests/run takes it))
	$(Q)$(MAKE) $(quiet) -j2 all unit
	$(Q)B=$(B) tests/flake $(or $(COUNT),20) $(ONLY)

test-dpdk: packages-test
	$(Q)$(MAKE) $(quiet) -j2 all
	$(Q)PORT=dpdk B=$(B) tests/run tests/net/

test-numa: packages-test
	$(Q)$(MAKE) $(quiet) -j2 all
	$(Q)B=$(B) tests/numa/test_guest.sh

sim: packages-run
	$(Q)$(MAKE) $(quiet) -j2 $(B)/tests/sim/sim
	$(Q)$(B)/tests/sim/sim $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT)) $(if $(SECONDS),--seconds $(SECONDS))

# Every target for TIME seconds, on all cores; what is found is kept in $(B)/fuzz.
TIME ?= 60
fuzz: packages-test
	$(Q)$(MAKE) $(quiet) -j2 $(addprefix $(B)/tests/fuzz/,$(if $(ONLY),fuzz_$(ONLY),$(fuzz)))
	$(Q)B=$(B) tests/fuzz/run $(TIME) $(if $(ONLY),fuzz_$(ONLY),$(fuzz))

bench: packages-bench
	$(Q)$(MAKE) $(quiet) -j2 all $(bench)
	$(Q)B=$(B) tests/bench/run $(ONLY)

# One shared object, optimised as the benchmark's own engines are; their header is given, not kept here.
adapter:
	$(if $(API),,$(error make adapter needs API=path/to/matching_engine_api.h, of github.com/flash1-dev/matching-engine-benchmark))
	$(Q)mkdir -p $(B)
	$(Q)$(CC) $(CFLAGS) -O3 -march=native -fPIC -fvisibility=hidden -shared -DADAPTER_API='"$(abspath $(API))"' \
	    tests/bench/adapter.c $(wildcard book/*.c) -o $(B)/adapter.so

install: all
	install -D -m 0755 $(B)/sluice $(DESTDIR)$(PREFIX)/bin/sluice
	$(if $(dpdk),install -D -m 0755 $(dpdk) $(DESTDIR)$(PREFIX)/lib/sluice/sluice-dpdk.so)
	install -D -m 0644 $(B)/libbook.a $(DESTDIR)$(PREFIX)/lib/libbook.a
	install -D -m 0644 book/book.h $(DESTDIR)$(PREFIX)/include/book/book.h
	install -D -m 0644 deploy/sluice.conf $(DESTDIR)/etc/sluice/sluice.conf.example

format:
	$(Q)clang-format -i $(formatted)

format-check:
	$(Q)clang-format --dry-run -Werror $(formatted)

clean:
	rm -rf build build-*

-include $(shell find $(B) -name '*.d' 2>/dev/null)
