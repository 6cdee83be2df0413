# SPDX-License-Identifier: Apache-2.0
# Reference from the sources: HTML into doc/, EEP-48 chunks (h(py, call) in the
# shell) beside the beam files, the frame table from wire.def.

.PHONY: docs
docs: all ## reference of the Erlang modules and of the wire, into doc/
	$(Q)escript scripts/docs.escript erl doc $(APP)
	$(Q)escript scripts/wire_table.escript c_src/wire/wire.def doc/wire.md
	@echo "docs: doc/index.html, doc/wire.md"
