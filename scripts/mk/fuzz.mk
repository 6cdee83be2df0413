# SPDX-License-Identifier: Apache-2.0
# libFuzzer targets: test/fuzz/fuzz_NAME.c, corpus in test/fuzz/corpus/NAME.
# Everything they link is compiled by clang with the sanitizers, in build/fuzz.
# A target whose source includes a header of the helper is linked with Python,
# one that includes fake_erts.h with the driver.

FUZZ_SECONDS ?= 60
FUZZ := build/fuzz
FUZZ_PYD := $(FUZZ)/$(notdir $(PY_BUILD))
FUZZ_SRC := $(wildcard test/fuzz/fuzz_*.c)
FUZZ_ALL := $(patsubst test/fuzz/fuzz_%.c,%,$(FUZZ_SRC))
fuzz_with = $(patsubst test/fuzz/fuzz_%.c,%,$(if $(FUZZ_SRC),$(shell grep -lE '$(1)' $(FUZZ_SRC))))
FUZZ_PY := $(call fuzz_with,\#include "(py|etf_decode|etf_encode|erlmod)\.h")
FUZZ_DRV := $(call fuzz_with,\#include "fake_erts\.h")
FUZZ_PLAIN := $(filter-out $(FUZZ_PY) $(FUZZ_DRV),$(FUZZ_ALL))

FUZZ_FLAGS := -g -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
FUZZ_CFLAGS = -std=c11 -D_GNU_SOURCE -fPIC $(WARN) $(FUZZ_FLAGS)

define fuzzcc
	@mkdir -p $(@D)
	$(if $(Q),@echo "  FUZZCC $<")
	$(Q)$(CLANG) $(FUZZ_CFLAGS) $(1) -MMD -MP -c $< -o $@
endef
$(FUZZ)/c_src/base/%.o: c_src/base/%.c
	$(call fuzzcc,$(INC_base))
$(FUZZ)/c_src/lane/%.o: c_src/lane/%.c
	$(call fuzzcc,$(INC_lane))
$(FUZZ)/c_src/wire/%.o: c_src/wire/%.c | $(WIRE_H)
	$(call fuzzcc,$(INC_wire))
$(FUZZ)/c_src/driver/%.o: c_src/driver/%.c | $(WIRE_H)
	$(call fuzzcc,$(INC_driver))
$(FUZZ)/test/%.o: test/%.c | $(WIRE_H)
	$(call fuzzcc,$(INC_wire) -Itest/c $(if $(filter $(FUZZ_DRV:%=fuzz/fuzz_%) c/fake_erts%,$*),-Ic_src/driver -I$(ERTS_INCLUDE)))
$(FUZZ_PYD)/c_src/zygote/%.o: c_src/zygote/%.c | $(WIRE_H)
	$(call fuzzcc,$(INC_zygote))
# A macro of libseccomp leaves out a field, which clang remarks upon.
$(FUZZ_PYD)/c_src/sandbox/%.o: c_src/sandbox/%.c | $(WIRE_H)
	$(call fuzzcc,$(INC_sandbox) -Wno-missing-field-initializers)
$(FUZZ_PYD)/c_src/helper/%.o: c_src/helper/%.c | $(WIRE_H)
	$(call fuzzcc,$(INC_helper))
$(FUZZ_PYD)/test/%.o: test/%.c | $(WIRE_H)
	$(call fuzzcc,$(INC_helper) -Ic_src/helper -Itest/c)

fuzzobj = $(patsubst %.c,$(1)/%.o,$(2))
FUZZ_COMMON := $(call fuzzobj,$(FUZZ),$(BASE_SRC) $(LANE_SRC) $(WIRE_SRC))
FUZZ_DRV_OBJ := $(call fuzzobj,$(FUZZ),$(DRIVER_SRC) $(wildcard test/c/fake_erts*.c))
FUZZ_PY_OBJ := $(call fuzzobj,$(FUZZ_PYD),$(ZYGOTE_SRC) $(filter-out %/main.c,$(HELPER_SRC)) $(SANDBOX_SRC))

define fuzzld
	$(if $(Q),@echo "  FUZZLD $@")
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $(filter %.o,$^) $(MSGPACK_LIBS) $(1)
endef
$(FUZZ_PLAIN:%=$(FUZZ)/fuzz_%): $(FUZZ)/fuzz_%: $(FUZZ)/test/fuzz/fuzz_%.o $(FUZZ_COMMON)
	$(call fuzzld)
$(FUZZ_DRV:%=$(FUZZ)/fuzz_%): $(FUZZ)/fuzz_%: $(FUZZ)/test/fuzz/fuzz_%.o $(FUZZ_DRV_OBJ) $(FUZZ_COMMON)
	$(call fuzzld)
$(FUZZ_PY:%=$(FUZZ)/fuzz_%): $(FUZZ)/fuzz_%: $(FUZZ_PYD)/test/fuzz/fuzz_%.o $(FUZZ_PY_OBJ) $(FUZZ_COMMON)
	$(call fuzzld,-lseccomp $(PY_LDLIBS) -lz -lpthread)

.PHONY: fuzz fuzz-replay
fuzz: native $(FUZZ_ALL:%=$(FUZZ)/fuzz_%) ## each fuzz target for FUZZ_SECONDS
	@rc=0; for t in $(or $(T),$(FUZZ_ALL)); do \
	  PYTHONPATH=$(abspath $(PRIV)/py) scripts/step fuzz-$$t \
	    scripts/fuzz_one $(FUZZ)/fuzz_$$t $$t $(FUZZ_SECONDS) || rc=1; \
	done; exit $$rc

# The same targets as ordinary programs (gcc, any variant) over their corpora.
REPLAY_C := $(BUILD)/test/fuzz
REPLAY_PY := $(PY_BUILD)/test/fuzz
REPLAY := $(FUZZ_PLAIN:%=$(REPLAY_C)/replay_%) $(FUZZ_DRV:%=$(REPLAY_C)/replay_%) \
  $(FUZZ_PY:%=$(REPLAY_PY)/replay_%)
$(FUZZ_DRV:%=$(REPLAY_C)/fuzz_%.o): INC_test += -Ic_src/driver -I$(ERTS_INCLUDE)
$(FUZZ_PLAIN:%=$(REPLAY_C)/replay_%): $(REPLAY_C)/replay_%: $(REPLAY_C)/fuzz_%.o $(REPLAY_C)/replay.o $(COMMON_OBJ)
	$(call link,$(MSGPACK_LIBS))
$(FUZZ_DRV:%=$(REPLAY_C)/replay_%): $(REPLAY_C)/replay_%: $(REPLAY_C)/fuzz_%.o $(REPLAY_C)/replay.o $(patsubst %.c,$(BUILD)/%.o,$(wildcard test/c/fake_erts*.c)) $(DRIVER_OBJ) $(COMMON_OBJ)
	$(call link,$(MSGPACK_LIBS))
$(FUZZ_PY:%=$(REPLAY_PY)/replay_%): $(REPLAY_PY)/replay_%: $(REPLAY_PY)/fuzz_%.o $(REPLAY_C)/replay.o $(filter-out %/helper/main.o,$(PY_OBJ)) $(SANDBOX_OBJ) $(COMMON_OBJ)
	$(call link,$(MSGPACK_LIBS) -lseccomp $(PY_LDLIBS) -lz -lpthread)

fuzz-replay: native $(REPLAY) ## every fuzz target over its corpus, once
	@rc=0; for b in $(REPLAY); do t=$${b##*/replay_}; \
	  PYTHONPATH=$(abspath $(PRIV)/py) $(STEP)replay-$$t $(SAN_ENV) $$b test/fuzz/corpus/$$t || rc=1; \
	done; exit $$rc

-include $(FUZZ_COMMON:.o=.d) $(FUZZ_DRV_OBJ:.o=.d) $(FUZZ_PY_OBJ:.o=.d)
