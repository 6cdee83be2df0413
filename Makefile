# SPDX-License-Identifier: Apache-2.0
# Terrarium's one Makefile.  `make help` lists the targets.
#
# Variables you may set:
#   PYTHON=…       interpreter to embed (default /usr/bin/python3)
#   SAN=1          address and undefined-behaviour sanitizers, own build folders
#   V=1            show the commands
#   T=…            only this suite (test-c, test-ct, test-ways), file pattern
#                  (test-py), module (test-prop), search or mutation (model)
#   FUZZ_SECONDS=… time for each fuzz target (default 60)
#   CC CFLAGS LDFLAGS ERL REBAR3 CLANG PKG_CONFIG
#
# make runs in two passes.  The first only sees to it that the packages a
# target needs are there (scripts/setup) and then calls make again for the
# target itself, because the second pass asks Python and Erlang for their
# paths while it reads scripts/mk/native.mk.

PYTHON ?= $(or $(wildcard /usr/bin/python3),python3)
ERL ?= erl
REBAR3 ?= rebar3
CLANG ?= clang
PKG_CONFIG ?= pkg-config
ifeq ($(origin CC),default)
CC := gcc
endif
Q := $(if $(V),,@)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules

.PHONY: help clean distclean setup
help: ## this list
	@grep -hE '^[a-z][a-z-]*:.*## ' Makefile scripts/mk/*.mk | sort -u | \
	  sed 's/:.*## /\t/' | expand -t 20

setup: ## install every package that building, testing and linting need
	@PYTHON='$(PYTHON)' scripts/setup

clean: ## remove what was built
	rm -rf build priv _build/default _build/test \
	  erl/port/py_wire.hrl py/erlang/_wire.py test/ct/*.beam

distclean: clean ## and everything else that is not in git
	rm -rf _build doc bench.json .mypy_cache

# --- first pass: packages -------------------------------------------------
ifndef TERRARIUM_SETUP_DONE

GROUPS_all := build
GROUPS_native := build
GROUPS_shell := build
GROUPS_demo := build
GROUPS_bench := build
GROUPS_bench-codec := build count
GROUPS_lint := build lint
GROUPS_format := build lint
GROUPS_fuzz := build fuzz
GROUPS_docs := build docs
GROUPS_model := build model
# Wanted, but nothing fails without.
OPTIONAL_bench := bench
TEST_TARGETS := test test-c test-py test-asyncio test-prop test-ct test-ways \
  test-unprivileged test-pythons fuzz-replay
FIRST_PASS := all native shell demo bench bench-codec lint format fuzz docs model $(TEST_TARGETS)

# Inside rebar3's hook (it sets ERLANG_ROOT_DIR) nothing is ever installed.
.NOTPARALLEL:
.PHONY: $(FIRST_PASS) FORCE
$(FIRST_PASS):
	@PYTHON='$(PYTHON)' scripts/setup --quiet \
	  $(if $(ERLANG_ROOT_DIR),--check) \
	  $(or $(GROUPS_$@),build test$(if $(SAN), san))
	@$(if $(OPTIONAL_$@),scripts/setup --quiet $(OPTIONAL_$@) || true)
	@$(MAKE) --no-print-directory TERRARIUM_SETUP_DONE=1 $@

# A single file, and the parts of lint: no check, straight to the second pass.
build/% priv/% lint-%: FORCE
	@$(MAKE) --no-print-directory TERRARIUM_SETUP_DONE=1 $@

# --- second pass: the work ------------------------------------------------
else

SHELL := /bin/bash
.SHELLFLAGS := -eo pipefail -c

# What a tool that calls make again (rebar3's hook) must not inherit.
CLEAN_ENV := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u SAN -u PRIV \
  PYTHON='$(PYTHON)' TERRARIUM_SETUP_DONE=1

.PHONY: test
test: ## all tests: C, Python, properties, Common Test
	@scripts/step --reset
	@rc=0; for t in test-c test-py test-prop test-ct test-ways; do \
	  $(MAKE) --no-print-directory $$t || rc=1; done; \
	scripts/step --summary; exit $$rc

include scripts/mk/native.mk
include scripts/mk/test.mk
include scripts/mk/fuzz.mk
include scripts/mk/lint.mk
include scripts/mk/docs.mk
include scripts/mk/model.mk

.PHONY: all shell demo bench
all: native ## build the C programs and the Erlang application
	$(Q)$(CLEAN_ENV) $(REBAR3) compile

shell: all ## an Erlang shell with Terrarium started, under the launcher
	priv/terrarium -- $(ERL) -pa _build/default/lib/terrarium/ebin \
	  -eval '{ok, _} = application:ensure_all_started(terrarium).'

demo: all ## Python's standard library, parsed from Erlang, with a crash
	$(Q)scripts/demo/run

bench: all ## speed, cost and fairness; tables, bench.json and a picture
	$(Q)test/bench/run

endif
