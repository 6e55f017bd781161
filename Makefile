# SPDX-License-Identifier: GPL-2.0-or-later
#
# weft: the top Makefile. Kbuild beside it builds the module; everything else is built here.
#
#	make			daemon, tools and module
#	make unit		builds and runs the unit tests	(make unit T=wire: only tests/unit/test_wire.c)
#	make check		everything that is tested; make help lists its parts
#
# O=DIR puts all output below DIR (default: build). Two builds in one tree need two of them.
# Sources are found by their folder: a new file in daemon/FOLDER, tests/unit and so on needs no line here. Two lists
# are kept by hand: PURE_SRC below and the module's objects in Kbuild.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules

O ?= build
$(if $(strip $(O)),,$(error O= is empty: name a folder))
override O := $(abspath $(O))
top := $(abspath $(dir $(lastword $(MAKEFILE_LIST))))
version := $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' dkms.conf)

.PHONY: all
all: userspace module

# --- What is built from what -----------------------------------------------------------------------------------------

# Files under kernel/ that compile in userspace too, into libweftpure.a: the daemon, tests and fuzzers link them.
PURE_SRC := $(wildcard kernel/ec/*.c kernel/ec/x86/*.c kernel/chunk/x86/*.c) \
	$(wildcard $(addprefix kernel/,chunk/cdc.c chunk/cdc_table.c chunk/chunker.c chunk/crc32c.c chunk/crctable.c \
		chunk/extent.c chunk/frames.c chunk/hash.c chunk/header.c chunk/layout.c chunk/policy.c chunk/sample.c \
		crypt/derive.c crypt/frame.c crypt/name.c \
		node/band.c node/latency.c node/wire.c))

DAEMON_SRC := $(wildcard daemon/main.c daemon/*/*.c)
WEFT_SRC := $(wildcard tools/weft/*.c)
# The readers of chunks and of key files: weft, their unit tests and their fuzz targets link them.
CHUNK_SRC := $(wildcard tools/chunk/*.c tools/key/*.c)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
SIM_SRC := $(wildcard tests/sim/sim_*.c)
BENCH_SRC := $(wildcard tests/bench/bench_*.c)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
# Programs for VM cases: each .c is one.
CASE_SRC := $(wildcard tests/vm/cases/*/*.c)
# The module's own tests against a daemon that can misbehave; they run as VM cases too.
KSELF_SRC := $(wildcard kselftest/*_test.c kselftest/fakeweftd.c)
KSELF_LIB_SRC := $(filter-out $(KSELF_SRC),$(wildcard kselftest/*.c))
# Everything else in the tests' folders is linked into each program of its folder.
TEST_LIB_SRC := $(wildcard tests/lib/*.c)
UNIT_LIB_SRC := $(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c))
SIM_LIB_SRC := $(filter-out $(SIM_SRC),$(wildcard tests/sim/*.c))
FUZZ_LIB_SRC := $(filter-out $(FUZZ_SRC) tests/fuzz/replay.c,$(wildcard tests/fuzz/*.c))

obj = $(patsubst %.c,$(O)/obj/%.o,$(1))

# --- Flags -----------------------------------------------------------------------------------------------------------

CC := gcc
PKG_CONFIG := pkg-config
WARNINGS := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla -Wno-unused-parameter
CFLAGS ?= -O2 -g
# The coder's back-ends with GFNI are built when the assembler knows it (binutils 2.30), as in Kbuild.
ifeq ($(shell echo 'vgf2p8mulb %zmm0, %zmm1, %zmm2' | $(CC) -c -x assembler -o /dev/null - 2>/dev/null && echo yes),yes)
ec_cflags := -DWEFT_EC_GFNI
else
PURE_SRC := $(filter-out kernel/ec/x86/ec_gfni.c kernel/ec/x86/ec_avx512.c,$(PURE_SRC))
endif
base_cflags := -std=gnu11 -pthread -D_GNU_SOURCE -DWEFT_VERSION='"$(version)"' $(WARNINGS) $(ec_cflags) \
	-I$(top) -I$(top)/uapi -I$(top)/kernel -I$(top)/daemon
test_cflags := -I$(top)/tests -I$(top)/tests/lib

# FUZZER=1 builds with clang for libFuzzer; the warnings that count are gcc's.
ifdef FUZZER
CC := clang
base_cflags += -fsanitize=fuzzer-no-link -Wno-error -Wno-unknown-warning-option
endif
ifdef SANITIZE
base_cflags += -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
base_ldflags := -fsanitize=address,undefined
endif

# Looked up once and only where something is linked or compiled with it.
pkg_cflags := $(shell $(PKG_CONFIG) --cflags raft libuv jansson liburing libmnl libnl-genl-3.0 libsodium 2>/dev/null)
chunk_libs := $(shell $(PKG_CONFIG) --libs libzstd liblz4 zlib 2>/dev/null)
daemon_libs := $(shell $(PKG_CONFIG) --libs raft lmdb libuv jansson liburing libmnl 2>/dev/null)
tool_libs := $(shell $(PKG_CONFIG) --libs libnl-genl-3.0 libsodium 2>/dev/null) $(daemon_libs) $(chunk_libs)
test_libs := -lcmocka -lm $(tool_libs)

# --- Programs --------------------------------------------------------------------------------------------------------

programs := $(if $(DAEMON_SRC),$(O)/weftd) $(if $(WEFT_SRC),$(O)/weft) \
	$(patsubst tools/%.c,$(O)/%,$(wildcard tools/mount.weft.c tools/umount.weft.c))
unit_programs := $(patsubst tests/unit/%.c,$(O)/unit/%,$(UNIT_SRC))
sim_programs := $(patsubst tests/sim/%.c,$(O)/sim/%,$(SIM_SRC))
replay_programs := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%.replay,$(FUZZ_SRC))
fuzz_programs := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(FUZZ_SRC))
bench_programs := $(patsubst tests/bench/%.c,$(O)/bench/%,$(BENCH_SRC))
kself_programs := $(patsubst kselftest/%.c,$(O)/kselftest/%,$(KSELF_SRC))
case_programs := $(patsubst tests/vm/cases/%.c,$(O)/cases/%,$(CASE_SRC))

libs := $(O)/libweftd.a $(O)/libweftpure.a $(O)/libweftchunk.a
link = $(CC) $(CFLAGS) -pthread $(base_ldflags) $(LDFLAGS) -o $@ -Wl,--as-needed -Wl,--start-group $(filter %.o %.a,$^) \
	-Wl,--end-group

.PHONY: userspace tests cases
userspace: $(programs)
tests: $(unit_programs) $(sim_programs) $(bench_programs) cases $(O)/vm/agent

cases: $(case_programs) $(kself_programs)

$(O)/weftd: $(O)/obj/daemon/main.o $(libs)
	@echo "  LD      $(@:$(O)/%=%)"
	@$(link) $(daemon_libs)

$(O)/weft: $(call obj,$(WEFT_SRC)) $(libs)
	@echo "  LD      $(@:$(O)/%=%)"
	@$(link) $(tool_libs)

$(O)/mount.weft $(O)/umount.weft: $(O)/%: $(O)/obj/tools/%.o $(libs)
	@echo "  LD      $(@:$(O)/%=%)"
	@$(link) $(tool_libs)

$(O)/libweftd.a: $(call obj,$(filter-out daemon/main.c,$(DAEMON_SRC)))
$(O)/libweftpure.a: $(call obj,$(PURE_SRC))
$(O)/libweftchunk.a: $(call obj,$(CHUNK_SRC))
$(O)/libweftest.a: $(call obj,$(TEST_LIB_SRC))
$(O)/libweftunit.a: $(call obj,$(UNIT_LIB_SRC))
$(O)/libweftkself.a: $(call obj,$(KSELF_LIB_SRC))
$(O)/libweftsim.a: $(call obj,$(SIM_LIB_SRC))
$(O)/libweftfuzz.a: $(call obj,$(FUZZ_LIB_SRC))
# The list of members is part of what an archive depends on: a removed source must leave it.
$(O)/%.a: $(O)/%.members
	@mkdir -p $(@D)
	@echo "  AR      $(@:$(O)/%=%)"
	@rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

.PHONY: FORCE
$(O)/%.members: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(members_$*) | cmp -s - $@ || printf '%s\n' $(members_$*) >$@
members_libweftd := $(DAEMON_SRC)
members_libweftpure := $(PURE_SRC)
members_libweftchunk := $(CHUNK_SRC)
members_libweftest := $(TEST_LIB_SRC)
members_libweftunit := $(UNIT_LIB_SRC)
members_libweftkself := $(KSELF_LIB_SRC)
members_libweftsim := $(SIM_LIB_SRC)
members_libweftfuzz := $(FUZZ_LIB_SRC)

$(unit_programs): $(O)/unit/%: $(O)/obj/tests/unit/%.o $(O)/libweftunit.a $(O)/libweftest.a $(libs)
	@mkdir -p $(@D)
	@echo "  LD      $(@:$(O)/%=%)"
	@$(link) $(test_libs)

$(sim_programs): $(O)/sim/%: $(O)/obj/tests/sim/%.o $(O)/libweftsim.a $(O)/libweftest.a $(libs)
	@mkdir -p $(@D)
	@echo "  LD      $(@:$(O)/%=%)"
	@$(link) $(test_libs)

$(bench_programs): $(O)/bench/%: $(O)/obj/tests/bench/%.o $(libs)
	@mkdir -p $(@D)
	@echo "  LD      $(@:$(O)/%=%)"
	@$(link) $(test_libs) -ldl -lcrypto

$(case_programs): $(O)/cases/%: $(O)/obj/tests/vm/cases/%.o $(O)/libweftest.a $(libs)
	@mkdir -p $(@D)
	@echo "  LD      $(@:$(O)/%=%)"
	@$(link) $(test_libs)

$(kself_programs): $(O)/kselftest/%: $(O)/obj/kselftest/%.o $(O)/libweftkself.a $(O)/libweftest.a $(libs)
	@mkdir -p $(@D)
	@echo "  LD      $(@:$(O)/%=%)"
	@$(link) $(test_libs)

$(O)/vm/agent: $(O)/obj/tests/vm/guest/agent.o $(O)/obj/tests/vm/guest/boot.o
	@mkdir -p $(@D)
	@echo "  LD      $(@:$(O)/%=%)"
	@$(link)

# replay: any compiler, feeds files to the target. The fuzzer itself needs clang with its runtime.
$(replay_programs): $(O)/fuzz/%.replay: $(O)/obj/tests/fuzz/%.o $(O)/obj/tests/fuzz/replay.o \
		$(O)/libweftfuzz.a $(libs)
	@mkdir -p $(@D)
	@echo "  LD      $(@:$(O)/%=%)"
	@$(link) $(test_libs)

$(fuzz_programs): $(O)/fuzz/%: $(O)/obj/tests/fuzz/%.o $(O)/libweftfuzz.a $(libs)
	@mkdir -p $(@D)
	@echo "  LD      $(@:$(O)/%=%)"
	@$(link) -fsanitize=fuzzer $(test_libs)

$(O)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(base_cflags) $(CFLAGS) $(CPPFLAGS) $(pkg_cflags) $(if $(filter tests/%,$<),$(test_cflags)) \
		-MMD -MP -MT $@ -MF $(@:.o=.d) -c -o $@ $<

-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)

# --- Module ----------------------------------------------------------------------------------------------------------

# KERNEL=DIR names prepared headers; else the running kernel's, else those of the stock kernel in the cache.
.PHONY: module
module:
	@tools/build-module "$(O)" "$(KERNEL)"

# --- Tests -----------------------------------------------------------------------------------------------------------

.PHONY: unit unit-sanitized sim bench deps help clean
unit: $(unit_programs)
	@tests/lib/run-tap unit $(if $(T),$(O)/unit/test_$(T),$(unit_programs))

unit-sanitized:
	@$(MAKE) --no-print-directory O=$(O)/asan SANITIZE=1 unit

sim: $(sim_programs)
	@tests/lib/run-tap sim $(if $(T),$(O)/sim/sim_$(T),$(sim_programs))

# Runs them and prints tables, T="SECTION..." only these; bench_store is run by hand, on the file system that matters.
bench: $(bench_programs)
	@WEFT_BUILD=$(O) tests/bench/run $(T)

# What docs/performance.md shows, from the last make bench.
.PHONY: plots
plots:
	@tests/bench/plot $(O)/bench/results.json docs/plots

# What is made from a description and committed is what the description says: the C of the netlink family, weft.conf(5).
.PHONY: uapi-check man
uapi-check: $(O)/conf-man
	@tools/uapi-gen --check
	@$< | cmp - tools/man/weft.conf.5 || { echo "uapi-check: tools/man/weft.conf.5 is out of date: make man" >&2; exit 1; }

man: $(O)/conf-man
	@$< >tools/man/weft.conf.5

$(O)/conf-man: $(O)/obj/tools/conf-man.o $(O)/obj/daemon/conf/schema.o
	@echo "  LD      $(@:$(O)/%=%)"
	@$(link)

# Replays the corpus with the sanitizers, then fuzzes each target for FUZZ_SECONDS when clang has its runtime.
.PHONY: fuzz replay fuzz-build
fuzz:
	@tests/fuzz/run
replay: $(replay_programs)
fuzz-build: $(fuzz_programs)

# PREFIX and DESTDIR are honoured; see tools/install.
.PHONY: install uninstall
install: userspace
	@tools/install install "$(O)"
uninstall:
	@tools/install uninstall

.PHONY: check budget style
check:
	@WEFT_BUILD=$(O) tests/check

# A cluster of nine hosts in a machine, three of them die, every byte reads back: tests/demo.
.PHONY: demo
demo:
	@WEFT_BUILD=$(O) tests/demo/run

# The long forms: many more runs of the simulator, ten minutes of fuzzing a target, all cases on both kernels.
.PHONY: soak
soak:
	@SOAK=20 FUZZ_SECONDS=600 TEST_TIMEOUT=7200 WEFT_BUILD=$(O) tests/check build sim fuzz stock debug

style budget:
	@tests/style/run $@

deps:
	@tools/deps

help:
	@sed -n '3,13s/^#\t\{0,1\}//p' Makefile
	@echo "Parts of check: uapi-check style unit unit-sanitized sim fuzz; tests/check STAGE... runs stages by name"

clean:
	rm -rf $(O)
