# SPDX-License-Identifier: Apache-2.0
# Tests, each runner also alone.  T=name selects.  Every runner's output goes
# to build/log too; scripts/step keeps its closing line for the summary.

CHECK_CFLAGS := $(shell $(PKG_CONFIG) --cflags check 2>/dev/null)
CHECK_LIBS := $(shell $(PKG_CONFIG) --libs check 2>/dev/null || echo -lcheck)

comma := $(,)
empty :=
space := $(empty) $(empty)

TEST_OUT := build/test$(SAN_SUFFIX)
SAN_ENV := $(if $(SAN),scripts/san_env)
SAN_PY := $(if $(SAN),scripts/san_env --python)
SAN_VM := $(if $(SAN),scripts/san_env --vm)
# What would make CPython set up C's stdout itself is out of the way.
TEST_ENV := PYTHONUNBUFFERED= TERRARIUM_PRIV=$(abspath $(PRIV)) TERRARIUM_TEST_PROGS=$(abspath $(TEST_OUT))
STEP := scripts/step $(if $(VARIANT),$(VARIANT)-)

# --- Check --------------------------------------------------------------------
# suites.h: neither Python nor ERTS; suites_py.h: with Python; suites_drv.h: the
# driver over stubs.  SUITE(name) in a list stands for test/c/check_name.c.
suites = $(shell sed -n 's/^ *SUITE(\([a-z0-9_]*\)).*/\1/p' test/c/$(1) 2>/dev/null)
sources = $(wildcard $(patsubst %,test/c/check_%.c,$(call suites,$(1))))
testobj = $(patsubst %.c,$(1)/%.o,$(2))

SUITES_C := $(call sources,suites.h) $(wildcard test/c/support_*.c)
SUITES_PY := $(call sources,suites_py.h) $(wildcard test/c/support_*.c) $(wildcard test/c/pysupport_*.c)
SUITES_DRV := $(call sources,suites_drv.h) $(wildcard test/c/fake_erts*.c) $(wildcard test/c/drvsupport_*.c)

TEST_C_OBJ := $(call testobj,$(BUILD),$(SUITES_C)) $(BUILD)/test/c/main_c.o
TEST_PY_OBJ := $(call testobj,$(PY_BUILD),$(SUITES_PY)) $(PY_BUILD)/test/c/main_py.o
TEST_DRV_OBJ := $(call testobj,$(BUILD),$(SUITES_DRV)) $(BUILD)/test/c/main_drv.o

INC_test := $(INC_sandbox) -Ic_src/sandbox -Itest/c $(CHECK_CFLAGS)
$(BUILD)/test/c/main_%.o: test/c/main.c $(wildcard test/c/suites*.h) | $(WIRE_H)
	$(call compile,$(INC_test) -DSUITES='"suites$(patsubst _c,,_$*).h"')
$(PY_BUILD)/test/c/main_py.o: test/c/main.c $(wildcard test/c/suites*.h) | $(WIRE_H)
	$(call compile,$(INC_test) -DSUITES='"suites_py.h"')
$(TEST_DRV_OBJ): INC_test += -Ic_src/driver -I$(ERTS_INCLUDE)
$(BUILD)/test/%.o: test/%.c | $(WIRE_H)
	$(call compile,$(INC_test))
$(PY_BUILD)/test/%.o: test/%.c | $(WIRE_H)
	$(call compile,$(INC_test) -Ic_src/zygote -Ic_src/helper $(INC_helper))

$(BUILD)/test/check: $(TEST_C_OBJ) $(SANDBOX_OBJ) $(COMMON_OBJ)
	$(call link,$(MSGPACK_LIBS) -lseccomp $(CHECK_LIBS))
$(PY_BUILD)/test/check_py: $(TEST_PY_OBJ) $(filter-out %/helper/main.o,$(PY_OBJ)) $(SANDBOX_OBJ) $(COMMON_OBJ)
	$(call link,$(MSGPACK_LIBS) -lseccomp $(CHECK_LIBS) $(PY_LDLIBS) $(EI_LIBS) -lz -lpthread)
$(BUILD)/test/check_drv: $(TEST_DRV_OBJ) $(DRIVER_OBJ) $(COMMON_OBJ)
	$(call link,$(MSGPACK_LIBS) $(CHECK_LIBS))
# The codec is compared with libei, which only this test links.
EI_LIBS := -lei

CHECK_BINS := $(if $(call suites,suites.h),$(BUILD)/test/check) \
  $(if $(call suites,suites_py.h),$(PY_BUILD)/test/check_py) \
  $(if $(call suites,suites_drv.h),$(BUILD)/test/check_drv)

# Counted by callgrind (bench-codec); no test.
$(PY_BUILD)/test/codec: $(PY_BUILD)/test/bench/codec/codec.o $(filter-out %/helper/main.o,$(PY_OBJ)) $(SANDBOX_OBJ) $(COMMON_OBJ)
	$(call link,$(MSGPACK_LIBS) -lseccomp $(PY_LDLIBS) -lz -lpthread)
.PHONY: bench-codec
bench-codec: native $(PY_BUILD)/test/codec ## instructions of the codec and of a request (valgrind)
	@test/bench/codec/run $(PY_BUILD)/test/codec

# Programs that tests run.
PROGS := $(patsubst test/progs/%.c,$(TEST_OUT)/%,$(wildcard test/progs/*.c)) $(TEST_OUT)/evil_zygote
$(TEST_OUT)/%: $(BUILD)/test/progs/%.o $(COMMON_OBJ)
	$(call link,$(MSGPACK_LIBS))
EVIL_OBJ := $(call testobj,$(BUILD),$(wildcard test/progs/evil/*.c))
$(TEST_OUT)/evil_zygote: $(EVIL_OBJ) $(COMMON_OBJ)
	$(call link,$(MSGPACK_LIBS))

.PHONY: test-asyncio test-c test-py test-prop test-ct test-ways test-unprivileged test-pythons test-python
# Suites in which the test is one end of a driver's or a helper's connection:
# they run over a lane as well (TERRARIUM_TEST_WAY).
LANE_SUITES := $(filter helper%,$(call suites,suites_py.h)) drv_calls $(filter drv_callback%,$(call suites,suites_drv.h)) drv_detached drv_hostile drv_pool drv_courier

# A suite named by T= is looked for in every list.
test-c: native $(CHECK_BINS) $(PROGS) fuzz-replay ## C unit tests (Check), and the fuzzers' corpora once
	@rc=0; for b in $(CHECK_BINS); do \
	  san="$(SAN_ENV)"; case $$b in */check_py) san="$(SAN_PY)";; esac; \
	  all=$$($$b -l $(if $(T),| grep -x '$(T)')) || continue; \
	  over=$$(printf '%s\n' $$all | grep -xE '$(subst $(space),|,$(strip $(LANE_SUITES)))' || true); \
	  $(TEST_ENV) TERRARIUM_TEST_WAY=socket $(STEP)c-$${b##*/} $$san $$b $(if $(T),-k $(T)) || rc=1; \
	  [ -z "$$over" ] || $(TEST_ENV) TERRARIUM_TEST_WAY=lane $(STEP)c-$${b##*/}-lane \
	    $$san $$b $$(printf -- ' -k %s' $$over) || rc=1; \
	done; exit $$rc

test-py: native ## Python unit tests, in priv/terrarium_py
	@$(TEST_ENV) $(STEP)py $(SAN_PY) $(PRIV)/terrarium_py python \
	  -W error::ResourceWarning -m unittest discover -s test/py -t . $(if $(T),-p '$(T)')

$(APP)/ebin/terrarium.app: erl-compile
.PHONY: erl-compile
erl-compile: native
	@$(CLEAN_ENV) $(REBAR3) compile
	@$(if $(VARIANT),mkdir -p $(APP); ln -sfn $(CURDIR)/_build/default/lib/terrarium/ebin $(APP)/ebin)

test-prop: erl-compile $(PROGS) ## properties (PropEr)
	@$(TEST_ENV) $(STEP)prop $(SAN_VM) scripts/prop $(APP) $(T)

# Suites that also run early started, under the launcher.
CT_SMOKE ?= py_SUITE py_crash_SUITE py_runtime_SUITE

ct_list = $(subst $(space),$(comma),$(strip $(patsubst %,test/ct/%,$(1))))

# How VM and helper speak, besides the usual way; test/ct/py_ct.erl turns the
# name into application environment.
TEST_WAYS := socket no_spin

ifneq ($(VARIANT),)
# No rebar3 here: the suites run against this variant's tree.
CT_VARIANT ?= $(if $(SAN),$(CT_SMOKE) py_lane_SUITE)
CT = $(SAN_VM) scripts/ct $(APP) $(or $(T),$(CT_VARIANT))
CT_WAYS = $(CT)
test-ways: erl-compile $(PROGS)
test-ct: erl-compile $(PROGS)
	@$(TEST_ENV) $(STEP)ct $(CT)
else
REBAR_CT = $(CLEAN_ENV) REBAR3=$(REBAR3) scripts/rebar_ct
CT = $(REBAR_CT) $(if $(T),--suite $(call ct_list,$(T)))
CT_WAYS = $(REBAR_CT) --suite $(call ct_list,$(or $(T),$(WAY_SUITES)))
test-ways: all $(PROGS)
test-ct: all $(PROGS) ## Common Test, late started and under the launcher
	@rc=0; $(TEST_ENV) $(STEP)ct $(CT) || rc=1; \
	$(TEST_ENV) $(STEP)ct-early env LAUNCHER=$(PRIV)/terrarium $(REBAR_CT) \
	  --suite $(call ct_list,$(or $(T),$(CT_SMOKE))) || rc=1; exit $$rc
endif

# Suites to which it is all one how requests travel, or that see to each way
# themselves.
ONE_WAY := api cluster docs elixir evil evil_policy handles lane policy python remote remote_end \
  remote_ref remote_stream runtime sandbox sandbox_cli sandbox_grants sandbox_limits shown venv
WAY_SUITES = $(filter-out $(ONE_WAY:%=py_%_SUITE),$(basename $(notdir $(wildcard test/ct/*_SUITE.erl))))

test-ways: ## Common Test over the socket alone, and with no polling
	@rc=0; for way in $(TEST_WAYS); do \
	  $(TEST_ENV) TERRARIUM_TEST_WAY=$$way $(STEP)ct-$$way $(CT_WAYS) || rc=1; \
	done; exit $$rc

# What a sandbox needs, a user must be able to have.
UNPRIVILEGED := py_sandbox_SUITE py_sandbox_run_SUITE py_sandbox_cli_SUITE py_policy_SUITE \
  py_sandbox_limits_SUITE py_sandbox_fd_SUITE py_sandbox_grants_SUITE py_handles_SUITE \
  py_shown_SUITE
# Those that take their time: once for each Python.
UNPRIVILEGED_TOO := py_evil_SUITE py_evil_policy_SUITE py_handoff_SUITE

test-unprivileged: erl-compile $(PROGS) ## sandboxes, as a user who is not root
	@$(TEST_ENV) $(STEP)ct-unprivileged scripts/test_unprivileged $(APP) $(TEST_OUT) $(or $(T),$(UNPRIVILEGED))

test-asyncio: native ## CPython's own tests of asyncio, on our event loop
	@$(TEST_ENV) $(STEP)asyncio $(PRIV)/terrarium_py python scripts/asyncio_tests.py \
	  $(PRIV)/terrarium_py test/asyncio/exceptions.txt $(T)

test-pythons: ## what depends on Python, with every Python 3.10 to 3.14 found
	@scripts/test_pythons $(MAKE)

# One of them (scripts/test_pythons calls this with PYTHON and VARIANT).
test-python: native
	@rc=0; $(MAKE) --no-print-directory test-c || rc=1; \
	for t in test-py test-asyncio test-prop test-ct; do \
	  $(MAKE) --no-print-directory $$t || rc=1; done; \
	$(MAKE) --no-print-directory T='$(UNPRIVILEGED) $(UNPRIVILEGED_TOO)' test-unprivileged || rc=1; \
	exit $$rc

-include $(EVIL_OBJ:.o=.d) $(TEST_C_OBJ:.o=.d) $(TEST_PY_OBJ:.o=.d) $(TEST_DRV_OBJ:.o=.d)
