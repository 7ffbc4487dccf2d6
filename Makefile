# Every task of the project, one command each; `make help` lists them.
#
#   PYTHON   the interpreter of a new .venv    (default: the first Python >= 3.11 that is found)
#   WORKERS  how many processes run the tests  (default: 2)
#   FRAMEWORKS  the frameworks that `make run` verifies  (default: numpy,torch; all: JAX, TensorFlow and Keras too)
#   ARGS     more arguments for verify, pytest or the benchmarks: make test ARGS="-k range -x"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test docs site lint lint-python lint-types lint-native lint-docs format sanitize arm bench package hooks clean distclean preflight

VENV ?= .venv
WORKERS ?= 2
FRAMEWORKS ?= numpy,torch
ARGS ?=

PY := $(VENV)/bin/python
# Python compiles a module when it is first imported. Compiling all 22,000 that are installed takes minutes.
PIP_INSTALL = -m pip install -qq --disable-pip-version-check --no-compile --constraint constraints.txt
INSTALL = $(PY) $(PIP_INSTALL)
# The requirements that pyproject.toml states, by the path of their table: $(call requires,build-system requires)
requires = $$($(PY) -c 'import functools, sys, tomllib; \
  print(*functools.reduce(dict.get, sys.argv[1:], tomllib.load(open("pyproject.toml", "rb"))))' $(1))

comma := ,
NATIVE := CMakeLists.txt $(shell find native -type f 2>/dev/null)
CXX_FILES = $(shell find native -name '*.hpp' -o -name '*.cpp')

help:  ## list the tasks
	@awk -F ':.*  ## ' '/^[a-z]+:.*  ## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Tasks -------------------------------------------------------------------------------------------------------------

run: $(VENV)/$(if $(filter-out numpy numpy$(comma)torch torch,$(FRAMEWORKS)),.frontends,.cosgrad)  ## install the package and verify it: FRAMEWORKS=all with every framework
	@$(VENV)/bin/cosgrad verify --frameworks $(FRAMEWORKS) $(ARGS)

test: $(VENV)/.dev  ## run the tests
	@$(PY) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

docs: $(VENV)/.dev  ## run the examples in README.md, docs/ and the docstrings, and check their links
	@$(PY) -m pytest -q tests/test_docs.py $(ARGS)

site: $(VENV)/.site  ## build the documentation site in build/site
	@$(PY) docs/site/build.py build/site
	@echo 'build/site/index.html'

lint: lint-python lint-types lint-native lint-docs site  ## check style, types, formatting and links; `make test` runs the examples

lint-python: $(VENV)/.dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

lint-types: $(VENV)/.dev
	@$(PY) -m mypy
	@$(PY) -m mypy benchmarks

lint-native: $(VENV)/.dev
	@$(PY) native/layers.py
	@$(VENV)/bin/clang-format --dry-run -Werror $(CXX_FILES)

lint-docs: $(VENV)/.dev
	@$(PY) -m pytest -q tests/test_docs.py -k 'links or make'

format: $(VENV)/.dev  ## rewrite the sources in the project's format
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .
	@$(VENV)/bin/clang-format -i $(CXX_FILES)

sanitize: $(VENV)/.build  ## run the native tests under the address, undefined-behaviour and thread sanitizers
	@$(call native_tests,asan,-DCOSGRAD_SANITIZE=address$(comma)undefined)
	@$(call native_tests,tsan,-DCOSGRAD_SANITIZE=thread)

arm: $(VENV)/.build  ## cross-compile the core for 64-bit Arm and run its native tests, emulated by qemu
	@for tool in aarch64-linux-gnu-g++ qemu-aarch64; do command -v $$tool >/dev/null || { echo "make arm needs $$tool," \
	  "which was not found: install it (Debian and Ubuntu: apt-get install g++-aarch64-linux-gnu qemu-user)." >&2; exit 1; }; done
	@$(call native_tests,aarch64,-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
	  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ '-DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64;-L;/usr/aarch64-linux-gnu')

bench: $(VENV)/.bench  ## time the package beside its rivals
	@$(PY) benchmarks/run.py $(ARGS)

package: $(VENV)/.build  ## build an sdist and from it a wheel; test it with NumPy alone and a random seed; verify it with each framework alone
	@rm -rf dist build/package
	@PATH="$(abspath $(VENV)/bin):$$PATH"; export PATH; \
	  $(PY) -m build --sdist --no-isolation --outdir dist . >build/sdist.log 2>&1 || { cat build/sdist.log; exit 1; }; \
	  $(PY) -m pip wheel -qq --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir dist \
    --config-settings cmake.define.COSGRAD_WARNINGS_AS_ERRORS=ON dist/*.tar.gz; ls dist
	@$(PY) -m venv build/package
	@build/package/bin/python $(PIP_INSTALL) dist/*.whl hypothesis ml_dtypes pytest
	@COSGRAD_TEST_SEED=$${COSGRAD_TEST_SEED:-random} build/package/bin/python -m pytest -q -p no:cacheprovider tests/numpy
	@for framework in '' torch jax tensorflow-cpu; do \
	  echo "the wheel with $${framework:-NumPy} alone:"; rm -rf build/package; \
	  $(PY) -m venv build/package \
	  && build/package/bin/python $(PIP_INSTALL) dist/*.whl $$framework \
	  && (cd build/package && bin/cosgrad verify) || exit 1; \
	done

hooks: $(VENV)/.dev  ## run `make lint` before every commit
	@command -v git >/dev/null || { echo 'make hooks needs git, which was not found: install it.' >&2; exit 1; }
	@$(VENV)/bin/pre-commit install

clean:  ## remove what was built; the installed tools stay
	@rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis $(VENV)/.cosgrad
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## remove the environment too
	@rm -rf $(VENV)

# One build tree per sanitizer and machine. ThreadSanitizer's shadow memory needs addresses that are not too random: where the
# system allows it, setarch switches their randomisation off.
define native_tests
  echo "native tests with $(2)"; \
  $(VENV)/bin/cmake -S . -B build/$(1) -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(VENV)/bin/ninja) \
    -DCOSGRAD_WARNINGS_AS_ERRORS=ON -DCOSGRAD_NATIVE_TESTS=ON $(2) >build/$(1).log 2>&1 || { cat build/$(1).log; exit 1; }; \
  $(VENV)/bin/cmake --build build/$(1) && \
  cd build/$(1) && $$(setarch -R true 2>/dev/null && echo setarch -R) \
    $(abspath $(VENV)/bin/ctest) --parallel $(WORKERS) --output-on-failure --no-tests=error
endef

# What the tasks need -----------------------------------------------------------------------------------------------
# A stamp in the environment says that a step is done; it is taken again when what it was made from has changed.

$(VENV)/.created: | preflight
	@echo 'creating $(VENV)'
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.build: constraints.txt pyproject.toml | $(VENV)/.created
	@echo 'installing what the build needs'
	@$(INSTALL) $(call requires,build-system requires) build cmake ninja
	@mkdir -p build
	@touch $@

$(VENV)/.cosgrad: $(NATIVE) $(VENV)/.build
	@echo 'building and installing cosgrad with its PyTorch frontend (PyTorch is large: the first time takes minutes)'
	@PATH="$(abspath $(VENV)/bin):$$PATH" $(INSTALL) --no-build-isolation \
	  --config-settings cmake.define.COSGRAD_WARNINGS_AS_ERRORS=ON --editable '.[torch]'
	@touch $@

# TensorFlow for the CPU alone is half as large where it exists; the published requirement leaves the choice.
$(VENV)/.frontends: $(VENV)/.cosgrad
	@echo 'installing JAX, TensorFlow and Keras'
	@$(INSTALL) $(call requires,project optional-dependencies jax) $(call requires,project optional-dependencies keras)
	@$(INSTALL) tensorflow-cpu || $(INSTALL) $(call requires,project optional-dependencies tensorflow)
	@touch $@

$(VENV)/.dev: $(VENV)/.frontends
	@echo 'installing the development tools'
	@$(INSTALL) $(call requires,project optional-dependencies dev) $(call requires,project optional-dependencies examples)
	@touch $@

$(VENV)/.site: $(VENV)/.dev
	@echo 'installing what builds the documentation site'
	@$(INSTALL) $(call requires,project optional-dependencies docs)
	@touch $@

$(VENV)/.bench: $(VENV)/.frontends
	@echo 'installing the rivals of the benchmarks'
	@$(INSTALL) $(call requires,project optional-dependencies bench) \
	  || echo 'not every rival could be installed: its rows will say so'
	@touch $@

# Is everything there that pip cannot bring? Says what is missing in one sentence, before anything is done.
ifneq ($(wildcard $(VENV)/.cosgrad),)
preflight: ;
else
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11
IS_NEW := import sys; sys.exit(sys.version_info < (3, 11))
CAN_VENV := import ensurepip, venv
HAS_HEADERS := import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))
find = $(firstword $(foreach p,$(CANDIDATES),$(shell $p -c '$(1)' >/dev/null 2>&1 && echo $p)))
PYTHON ?= $(or $(call find,$(CAN_VENV); $(HAS_HEADERS); $(IS_NEW)),$(call find,$(IS_NEW)),python3)

ifeq ($(origin CXX),default)
  CXX := $(or $(firstword $(foreach c,c++ g++ clang++,$(shell command -v $c))),c++)
endif

preflight:
	@python='$(PYTHON)'; fail() { echo "cosgrad needs $$1" >&2; exit 1; }; \
	 command -v "$$python" >/dev/null \
	  || fail "Python 3.11 or newer, and $$python was not found: install it or name another with PYTHON=…"; \
	 "$$python" -c '$(IS_NEW)' 2>/dev/null \
	  || fail "Python 3.11 or newer, and $$python is $$("$$python" -V 2>&1): install a newer one or name it with PYTHON=…"; \
	 "$$python" -c '$(CAN_VENV)' 2>/dev/null \
	  || fail "Python's venv module, which $$python lacks: install it (Debian and Ubuntu: apt-get install python3-venv)."; \
	 "$$python" -c '$(HAS_HEADERS)' 2>/dev/null \
	  || fail "Python's C headers, which $$python lacks: install them (Debian and Ubuntu: apt-get install python3-dev)."; \
	 command -v $(firstword $(CXX)) >/dev/null \
	  || fail "a C++20 compiler (GCC 12, Clang 14 or newer), and $(firstword $(CXX)) was not found: install one (Debian and Ubuntu: apt-get install g++) or name it with CXX=…"; \
	 $(CXX) -std=c++20 -fsyntax-only native/preflight.cpp 2>/dev/null \
	  || fail "GCC 12, Clang 14 or newer, and $(CXX) cannot compile native/preflight.cpp: install a newer compiler or name it with CXX=…"
endif
