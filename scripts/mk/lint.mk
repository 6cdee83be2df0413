# SPDX-License-Identifier: Apache-2.0
# Style, static analysis, sizes.  `make lint` runs every part and fails if one
# does; each part is a target of its own (make lint-c, …).

C_FILES = $(shell git ls-files -co --exclude-standard 'c_src/*.c' 'c_src/*.h' 'test/*.c' 'test/*.h')
SHELL_FILES = $(shell git ls-files -co --exclude-standard scripts .ci | xargs grep -lE '^\#!.*(bash|sh)$$')
PY_LINT = $(filter-out $(WIRE_PY),$(shell git ls-files -co --exclude-standard '*.py' '*.pyi'))
LINT_PARTS := lint-format lint-c lint-shell lint-py lint-spell lint-sizes lint-floors lint-xref lint-dialyzer

.PHONY: lint format $(LINT_PARTS)
lint: ## format, cppcheck, shellcheck, flake8, mypy, sizes, floors, xref, dialyzer
	@failed=; for t in $(LINT_PARTS); do \
	  echo "==> $$t"; \
	  $(MAKE) --no-print-directory $$t || failed="$$failed $$t"; done; \
	if [ -n "$$failed" ]; then echo "lint: failed:$$failed"; exit 1; fi; \
	echo "lint: clean"

lint-format:
	@clang-format --dry-run -Werror $(C_FILES)
	@! git grep -nIE --untracked '[[:blank:]]+$$' -- ':!LICENSE' ':!test/data' ':!test/fuzz/corpus' || \
	  { echo "trailing space"; exit 1; }
	@! git grep -nIP --untracked '\t' -- '*.erl' '*.hrl' '*.c' '*.h' '*.py' '*.src' '*.config' || \
	  { echo "tab"; exit 1; }
	@! git grep -nIP --untracked '^.{101,}' -- '*.erl' '*.hrl' || { echo "over 100 columns"; exit 1; }

lint-c: $(WIRE_H)
	@cppcheck --quiet --error-exitcode=1 -j 2 --std=c11 --enable=warning,performance,portability \
	  --inline-suppr --suppressions-list=scripts/cppcheck.suppress \
	  --suppress='*:$(ERTS_INCLUDE)/*' \
	  --library=posix,python -DPY_VERSION_HEX=0x030b0000 -D'Py_TRASHCAN_BEGIN(a,b)=' -DPy_TRASHCAN_END= -D_GNU_SOURCE -DSUITES='"suites.h"' -Ic_src/base -Ic_src/wire -Ic_src/helper -Ic_src/driver -I$(GEN) \
	  c_src test/c test/fuzz test/progs

lint-shell:
	@shellcheck $(SHELL_FILES)

lint-py: $(WIRE_PY)
	@black --check --quiet --target-version py310 $(PY_LINT) || \
	  { black --diff --quiet --target-version py310 $(PY_LINT) | head -60; exit 1; }
	@flake8 --max-line-length 88 --extend-ignore E203,W503 $(filter %.py,$(PY_LINT))
	@mypy --strict --python-version 3.10 --no-error-summary py/erlang

lint-spell:
	@git ls-files -co --exclude-standard -- ':!LICENSE' ':!test/data' ':!test/fuzz/corpus' | \
	  xargs codespell --ignore-words scripts/codespell.ignore

lint-sizes:
	@python3 scripts/check_sizes.py

lint-floors:
	@scripts/check_floors

lint-xref: native
	@$(CLEAN_ENV) $(REBAR3) xref
	@escript scripts/check_erl_floors.escript _build/default/lib/terrarium/ebin

lint-dialyzer: native
	@$(CLEAN_ENV) $(REBAR3) dialyzer

format: ## format C and Python
	clang-format -i $(C_FILES)
	black --quiet --target-version py310 $(PY_LINT)
