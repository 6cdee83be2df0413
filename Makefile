# SPDX-License-Identifier: Apache-2.0
# Terrarium's one Makefile.  `make help` lists the targets.
#
# Variables you may set: PYTHON (interpreter to embed), CC, CFLAGS, LDFLAGS,
# ERL, REBAR3, SAN=1 (address and undefined-behaviour sanitizers), V=1 (show
# commands).

PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
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

include scripts/mk/native.mk
include scripts/mk/test.mk
include scripts/mk/lint.mk

.PHONY: help all demo bench docs clean distclean setup shell

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

all: native ## build the C programs and the Erlang application
	$(Q)$(REBAR3) compile

clean: ## remove what was built
	rm -rf build priv _build/default _build/test erl/port/py_wire.hrl py/erlang/_wire.py

distclean: clean ## and everything else that is not in git
	rm -rf _build doc bench.json
