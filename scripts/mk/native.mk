# SPDX-License-Identifier: Apache-2.0
# The C programs: terrarium, terrarium_py-X.Y, py_drv.so, into PRIV.
# Each program is compiled with -I only for the floors it may use, so the
# compiler itself refuses an include that breaks the architecture.

, := ,
SAN_SUFFIX := $(if $(SAN),-san)
SAN_FLAGS := $(if $(SAN),-fsanitize=address$(,)undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)

# A variant (sanitizers, another Python) never touches priv/: it has a tree of
# its own, laid out as an Erlang library so that code:priv_dir/1 finds it.
VARIANT ?= $(if $(SAN),san)
APP := $(if $(VARIANT),build/tree/$(VARIANT)/lib/terrarium,_build/default/lib/terrarium)
PRIV ?= $(if $(VARIANT),$(APP)/priv,priv)

BUILD := build/c$(SAN_SUFFIX)
GEN := build/gen
WIRE_HRL := erl/port/py_wire.hrl
WIRE_PY := py/erlang/_wire.py
WIRE_H := $(GEN)/wire_fingerprint.h

WARN := -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wstrict-prototypes \
        -Wmissing-prototypes -Wpointer-arith -Werror
CFLAGS ?= -O2 -g
BASE_CFLAGS = -std=c11 -D_GNU_SOURCE -fPIC -fvisibility=hidden $(WARN) $(SAN_FLAGS) $(CFLAGS)

MSGPACK_LIBS := $(shell $(PKG_CONFIG) --libs msgpack 2>/dev/null || \
  $(PKG_CONFIG) --libs msgpack-c 2>/dev/null || echo -lmsgpackc)

# --- the Python to embed --------------------------------------------------
PY_MK := $(GEN)/python$(subst /,-,$(PYTHON)).mk
PY_ERR := $(PY_MK:.mk=.err)
$(shell mkdir -p $(GEN); $(PYTHON) scripts/python_build.py > $(PY_MK).new 2> $(PY_ERR); \
  mv -f $(PY_MK).new $(PY_MK))
-include $(PY_MK)
# A library of its own is more that each helper has to map and to find.  Where
# the program has a fixed place anyway, any archive will do.
MSGPACK_ARCHIVE := $(if $(findstring -no-pie,$(PY_LDLIBS)),$(filter /%,$(shell $(CC) -print-file-name=libmsgpackc.a)))
PY_MSGPACK := $(if $(MSGPACK_ARCHIVE),$(MSGPACK_ARCHIVE) -Wl$(,)--exclude-libs$(,)libmsgpackc.a,$(MSGPACK_LIBS))
PY_BUILD := build/py-$(PY_VERSION)-$(shell echo '$(PY_EXECUTABLE)' | cksum | cut -d' ' -f1)$(SAN_SUFFIX)

# --- ERTS -------------------------------------------------------------------
ERTS_INCLUDE := $(shell cat $(GEN)/erts.mk 2>/dev/null)
ifeq ($(and $(ERTS_INCLUDE),$(wildcard $(ERTS_INCLUDE)/erl_driver.h)),)
ERTS_INCLUDE := $(shell mkdir -p $(GEN); $(ERL) -noshell -eval 'io:format("~ts/erts-~ts/include", [code:root_dir(), erlang:system_info(version)]), halt().' 2>/dev/null | tee $(GEN)/erts.mk)
endif

BASE_SRC := $(wildcard c_src/base/*.c)
LANE_SRC := $(wildcard c_src/lane/*.c)
WIRE_SRC := $(wildcard c_src/wire/*.c)
SANDBOX_SRC := $(wildcard c_src/sandbox/*.c)
LAUNCHER_SRC := $(wildcard c_src/launcher/*.c)
DRIVER_SRC := $(wildcard c_src/driver/*.c)
REF_NIF_SRC := $(wildcard c_src/ref_nif/*.c)
SHM_NIF_SRC := $(wildcard c_src/shm_nif/*.c)
SLOT_NIF_SRC := $(wildcard c_src/slot_nif/*.c)
ZYGOTE_SRC := $(wildcard c_src/zygote/*.c)
HELPER_SRC := $(wildcard c_src/helper/*.c)

obj = $(patsubst c_src/%.c,$(1)/%.o,$(2))
COMMON_OBJ := $(call obj,$(BUILD),$(BASE_SRC) $(LANE_SRC) $(WIRE_SRC))
SANDBOX_OBJ := $(call obj,$(BUILD),$(SANDBOX_SRC))
LAUNCHER_OBJ := $(call obj,$(BUILD),$(LAUNCHER_SRC))
DRIVER_OBJ := $(call obj,$(BUILD),$(DRIVER_SRC))
REF_NIF_OBJ := $(call obj,$(BUILD),$(REF_NIF_SRC))
SHM_NIF_OBJ := $(call obj,$(BUILD),$(SHM_NIF_SRC))
SLOT_NIF_OBJ := $(call obj,$(BUILD),$(SLOT_NIF_SRC))
PY_OBJ := $(call obj,$(PY_BUILD),$(ZYGOTE_SRC) $(HELPER_SRC))

INC_base := -Ic_src/base
INC_lane := $(INC_base) -Ic_src/lane
INC_wire := $(INC_lane) -Ic_src/wire -I$(GEN)
INC_sandbox := $(INC_wire)
INC_launcher := $(INC_wire)
INC_driver := $(INC_wire) -I$(ERTS_INCLUDE)
INC_helper := $(INC_wire) $(PY_CFLAGS) -DTERRARIUM_PYTHON='"$(PY_EXECUTABLE)"'
INC_zygote := $(INC_helper) -Ic_src/helper -Ic_src/sandbox

.PHONY: native python-check install-priv
native: python-check install-priv ## build the C programs only

python-check:
	@test -n "$(PY_VERSION)" || { cat $(PY_ERR) >&2; \
	  echo "cannot use PYTHON=$(PYTHON); run scripts/setup or name another interpreter" >&2; exit 1; }

$(WIRE_H): c_src/wire/wire.def scripts/gen_wire
	$(Q)escript scripts/gen_wire $< $(WIRE_HRL) $(WIRE_PY) $@
	@touch $@
$(WIRE_HRL) $(WIRE_PY): $(WIRE_H)
	$(Q)test -f $@ || escript scripts/gen_wire c_src/wire/wire.def $(WIRE_HRL) $(WIRE_PY) $(WIRE_H)

define compile
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC $<")
	$(Q)$(CC) $(BASE_CFLAGS) $(1) -MMD -MP -c $< -o $@
endef

$(BUILD)/base/%.o: c_src/base/%.c
	$(call compile,$(INC_base))
$(BUILD)/lane/%.o: c_src/lane/%.c
	$(call compile,$(INC_lane))
$(BUILD)/wire/%.o: c_src/wire/%.c | $(WIRE_H)
	$(call compile,$(INC_wire))
$(BUILD)/sandbox/%.o: c_src/sandbox/%.c | $(WIRE_H)
	$(call compile,$(INC_sandbox))
$(BUILD)/launcher/%.o: c_src/launcher/%.c | $(WIRE_H)
	$(call compile,$(INC_launcher))
$(BUILD)/driver/%.o: c_src/driver/%.c | $(WIRE_H)
	$(call compile,$(INC_driver))
$(BUILD)/ref_nif/%.o: c_src/ref_nif/%.c
	$(call compile,-I$(ERTS_INCLUDE))
$(BUILD)/shm_nif/%.o: c_src/shm_nif/%.c
	$(call compile,-I$(ERTS_INCLUDE))
$(BUILD)/slot_nif/%.o: c_src/slot_nif/%.c
	$(call compile,-I$(ERTS_INCLUDE))
$(PY_BUILD)/zygote/%.o: c_src/zygote/%.c | $(WIRE_H)
	$(call compile,$(INC_zygote))
# The program itself is the only one there to look up at the zygote.
$(PY_BUILD)/helper/main.o: INC_helper += -Ic_src/zygote
$(PY_BUILD)/helper/%.o: c_src/helper/%.c | $(WIRE_H)
	$(call compile,$(INC_helper))

define link
	@mkdir -p $(@D)
	$(if $(Q),@echo "  LD $@")
	$(Q)$(CC) $(SAN_FLAGS) $(LDFLAGS) $(2) -o $@ $(filter %.o,$^) $(1)
endef

$(BUILD)/terrarium: $(LAUNCHER_OBJ) $(COMMON_OBJ)
	$(call link,$(MSGPACK_LIBS))
$(BUILD)/py_drv.so: $(DRIVER_OBJ) $(COMMON_OBJ)
	$(call link,$(MSGPACK_LIBS),-shared -Wl$(,)-z$(,)defs -Wl$(,)--allow-shlib-undefined -Wl$(,)--unresolved-symbols=ignore-all)
$(BUILD)/py_ref_nif.so: $(REF_NIF_OBJ)
	$(call link,,-shared -Wl$(,)--unresolved-symbols=ignore-all)
$(BUILD)/py_shm_nif.so: $(SHM_NIF_OBJ)
	$(call link,,-shared -Wl$(,)--unresolved-symbols=ignore-all)
$(BUILD)/py_slot_nif.so: $(SLOT_NIF_OBJ)
	$(call link,,-shared -Wl$(,)--unresolved-symbols=ignore-all)
$(PY_BUILD)/terrarium_py: $(PY_OBJ) $(SANDBOX_OBJ) $(COMMON_OBJ)
	$(call link,$(PY_MSGPACK) -lseccomp $(PY_LDLIBS) -lz -lpthread,-Wl$(,)-z$(,)now)

# Copy only what changed: a program that is running keeps its old inode.
PY_FILES = $(sort $(wildcard py/erlang/*.py py/erlang/*.pyi py/erlang/py.typed) $(WIRE_PY))
put = cmp -s $(1) $(2) || { cp $(1) $(2).$$$$ && mv -f $(2).$$$$ $(2); }
install-priv: $(BUILD)/terrarium $(BUILD)/py_drv.so $(BUILD)/py_ref_nif.so $(BUILD)/py_shm_nif.so $(BUILD)/py_slot_nif.so $(PY_BUILD)/terrarium_py $(WIRE_HRL) $(WIRE_PY)
	@mkdir -p $(PRIV)/py/erlang
	@$(call put,$(BUILD)/terrarium,$(PRIV)/terrarium)
	@$(call put,$(BUILD)/py_drv.so,$(PRIV)/py_drv.so)
	@$(call put,$(BUILD)/py_ref_nif.so,$(PRIV)/py_ref_nif.so)
	@$(call put,$(BUILD)/py_shm_nif.so,$(PRIV)/py_shm_nif.so)
	@$(call put,$(BUILD)/py_slot_nif.so,$(PRIV)/py_slot_nif.so)
	@$(call put,$(PY_BUILD)/terrarium_py,$(PRIV)/terrarium_py-$(PY_VERSION))
	@$(call put,$(PY_BUILD)/terrarium_py,$(PRIV)/terrarium_py)
	@cp -u $(PY_FILES) $(PRIV)/py/erlang/
	@cd $(PRIV)/py/erlang && rm -f $(filter-out $(notdir $(PY_FILES)),$(notdir $(wildcard $(PRIV)/py/erlang/*.py*)))

-include $(COMMON_OBJ:.o=.d) $(SANDBOX_OBJ:.o=.d) $(LAUNCHER_OBJ:.o=.d) $(DRIVER_OBJ:.o=.d) $(REF_NIF_OBJ:.o=.d) $(SHM_NIF_OBJ:.o=.d) $(SLOT_NIF_OBJ:.o=.d) $(PY_OBJ:.o=.d)
