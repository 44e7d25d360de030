# What a developer can run. `make` alone lists it.

CARGO ?= cargo

.PHONY: help python test-python bench-python test instructions campaign fuzz sanitize lint bench demo
.DEFAULT_GOAL := help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# What tests and measurements need from PyPI, each in a directory of its own. It is made when the file `.made` with the versions in its name
# is there: that is written last, so what was made by half is made anew, and so is what has other versions by now.
made = target/$(1)/.made-$(firstword $(shell echo '$(2)' | cksum))

# A server of the S3 protocol, for tests of object storage: moto.
MOTO = moto[server]==5.1.6
MOTO_MADE := $(call made,moto,$(MOTO))
# A client of the live stream that is not ours, for the README's reader: websockets.
WEBSOCKETS = websockets==15.0.1
WEBSOCKETS_MADE := $(call made,websockets,$(WEBSOCKETS))
# The same for Node, where there is one: ws, for the reader of STREAM.md.
WS = ws@8.18.3
WS_MADE := $(if $(shell command -v node && command -v npm),$(call made,ws,$(WS)))
# What builds and tests the Python package. numpy and pyarrow are what its values are viewed as; hypothesis draws programs; tqdm shows progress.
PYTHON_PACKAGES = maturin==1.16.0 cloudpickle==3.1.3 numpy==2.4.6 pyarrow==26.0.1 pytest==9.2.0 hypothesis==6.170.17 mypy==2.4.1 tqdm==4.70.1
PYTHON_MADE := $(call made,python,$(PYTHON_PACKAGES))
# The newest CPython, where there is one that is newer than python3: the package is the same for both. No newer one than these packages have
# wheels for, and none without what makes an environment.
NEWEST ?= $(shell this=$$(python3 -c 'import sys; print(sys.version_info[1])'); for minor in 14 13 12; do \
	if [ $$minor -gt $$this ] && python3.$$minor -c 'import venv, ensurepip' 2>/dev/null; then echo python3.$$minor; break; fi; done)
NEWEST_MADE = $(call made,python-newest,$(NEWEST) $(PYTHON_PACKAGES))
# Ray, to measure beside it; without it Plasmon is measured alone.
RAY = ray==2.60.0 numpy==2.4.6
RAY_MADE := $(call made,ray,$(RAY))

# Programs join this user's newest agent: the README's run one after the other.
test: $(MOTO_MADE) $(WEBSOCKETS_MADE) $(WS_MADE) ## Run every test: the workspace, the memory models, the simulator, a short kill campaign
	$(CARGO) test --workspace --exclude plasmon-python --lib --bins --tests
	$(CARGO) test --workspace --exclude plasmon-python --doc -- --test-threads=1
	$(CARGO) test --package plasmon-agent --features object-storage --lib --test object_storage
	$(CARGO) test --package plasmon-tui --test readers
	RUSTFLAGS="$(RUSTFLAGS) --cfg loom" $(CARGO) test --release --package plasmon-memory --lib --target-dir target/loom
	$(CARGO) test --release --package plasmon-agent --test simulator
	$(CARGO) test --package plasmon --features failpoints --test campaign
	$(MAKE) --no-print-directory instructions
	$(MAKE) --no-print-directory test-python

# Valgrind counts instructions: the system's, or the package's as far as apt-get gives it to everybody, unpacked beside the target.
VALGRIND = $(CURDIR)/target/valgrind
instructions: ## Count the instructions of the hot paths, beside what they were; BLESS=1 writes them anew
	@command -v valgrind >/dev/null || test -x $(VALGRIND)/usr/bin/valgrind || { mkdir -p $(VALGRIND) && cd $(VALGRIND) && \
		apt-get download valgrind && dpkg-deb --extract valgrind_*.deb .; } || echo "no valgrind: instructions are not counted"
	command -v valgrind >/dev/null || export PATH="$$PATH:$(VALGRIND)/usr/bin" VALGRIND_LIB="$$(dirname "$$(find $(VALGRIND)/usr -name 'callgrind-*-linux' 2>/dev/null | head -1)")"; \
		$(CARGO) bench --package plasmon --bench plasmon -- instructions

# Installs packages into the directory of the target, which is the file that says so; with another Python than python3, if one is named.
define install
	@echo "installing the packages $(1) and what they need from PyPI into $(@D)"
	rm -rf $(@D)
	$(or $(3),python3) -m venv $(@D)
	$(2)$(@D)/bin/pip install --quiet --disable-pip-version-check $(patsubst %,"%",$(1)) && touch $@
endef

.PHONY: target/moto target/websockets target/ws
target/moto: $(MOTO_MADE)
target/websockets: $(WEBSOCKETS_MADE)
target/ws: $(WS_MADE)

$(MOTO_MADE):
	$(call install,$(MOTO))

$(WEBSOCKETS_MADE):
	$(call install,$(WEBSOCKETS))

# It goes on without: what Node has built in may do. Whoever has no way to npm is not to wait long for it.
target/ws/.made-%:
	@echo "installing the package $(WS) from npm into $(@D)"
	rm -rf $(@D) && mkdir -p $(@D)
	@npm install --silent --no-audit --no-fund --fetch-retries=1 --fetch-timeout=60000 --prefix $(@D) $(WS) && touch $@ || { \
		rm -rf $(@D); echo "no $(WS) from npm: Node reads the stream with what it has built in, if anything"; }

$(PYTHON_MADE):
	$(call install,$(PYTHON_PACKAGES))

target/python-newest/.made-%:
	$(call install,$(PYTHON_PACKAGES),,$(NEWEST))

# It goes on without.
$(RAY_MADE):
	$(call install,$(RAY),-)

test-python: $(PYTHON_MADE) ## Build the Python package, and run its tests
	$(CARGO) build --package plasmon-tui --bin plasmon
	VIRTUAL_ENV=$(CURDIR)/target/python target/python/bin/maturin develop --quiet --skip-install --manifest-path agent/python/Cargo.toml
	cd agent/python && PYTHONPATH=$(CURDIR)/agent/python $(CURDIR)/target/python/bin/python -m pytest --quiet
	$(if $(NEWEST),$(MAKE) --no-print-directory test-newest-python)

# After the tests of python3, which build the package. On a CPython that is named, too: NEWEST=/usr/bin/python3.14
.PHONY: test-newest-python
test-newest-python:
	test -e $(NEWEST_MADE) || $(MAKE) --no-print-directory $(NEWEST_MADE)
	cd agent/python && PYTHONPATH=$(CURDIR)/agent/python $(CURDIR)/target/python-newest/bin/python -m pytest --quiet

python: $(PYTHON_MADE) ## Build the Python package's wheel into target/wheels, for CPython 3.11 and newer
	target/python/bin/maturin build --release --manifest-path agent/python/Cargo.toml --out target/wheels

bench-python: python $(RAY_MADE) ## Measure the Python package beside Ray, ratios into target/bench-python.json; README=1 writes the README's table anew
	rm -rf target/bench-python
	python3 -m venv target/bench-python
	target/bench-python/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 target/wheels/plasmon-*.whl
	python3 agent/python/benches/compare.py target/bench-python.json target/bench-python/bin/python \
		$$(test -e $(RAY_MADE) && echo target/ray/bin/python)

campaign: ## Kill processes under load, KILLS=50000 of them, SEED=1 as it was with that seed
	$(CARGO) test --release --package plasmon --features failpoints --test campaign -- --kills $(or $(KILLS),2000) $(if $(SEED),--seed $(SEED))

fuzz: ## Feed every decoder with nonsense for longer than the tests do; INPUTS=1000000 SEED=7
	FUZZ_INPUTS=$(or $(INPUTS),200000) FUZZ_SEED=$(or $(SEED),1) $(CARGO) test --workspace --test fuzz

# A named target keeps build scripts and macros free of the sanitizers, which a stable compiler has once it is told so.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
SANITIZE = RUSTC_BOOTSTRAP=1 CARGO_PROFILE_DEV_OPT_LEVEL=1 $(CARGO) test --target $(HOST)
ADDRESS = RUSTFLAGS="$(RUSTFLAGS) -Zsanitizer=address" $(SANITIZE) --target-dir target/address
# Without call sites: a thread that looks for their names and one that writes a report would wait for each other.
THREAD = RUSTFLAGS="$(RUSTFLAGS) -Zsanitizer=thread -Zunstable-options -Cunsafe-allow-abi-mismatch=sanitizer" PLASMON_SITES=off \
	TSAN_OPTIONS="atexit_sleep_ms=0 suppressions=$(CURDIR)/protocol/memory/tsan.txt" $(SANITIZE) --target-dir target/thread
# Threads that contend for a lock of the standard library look like a race, so the thread sanitizer runs fewer tests.
sanitize: ## Run the memory crate and the client under the address and the thread sanitizer
	$(ADDRESS) --package plasmon-memory --lib --test processes
	$(ADDRESS) --package plasmon --lib --test objects --test memory --test references --test containment --test tasks --test actors
	$(THREAD) --package plasmon-memory --lib --test processes
	$(THREAD) --package plasmon --lib --test objects --test memory

lint: ## Check format, lints and who imports whom
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings
	$(CARGO) clippy --package plasmon-agent --features object-storage --lib --test object_storage -- --deny warnings
	$(CARGO) clippy --package plasmon-tui --test readers -- --deny warnings
	$(CARGO) clippy --package plasmon-python --no-default-features -- --deny warnings
	$(CARGO) clippy --package plasmon --features failpoints --test campaign -- --deny warnings
	.ci/imports

bench: ## Measure everything beside its floor; ONLY=put measures one group, README=1 writes the README's table anew
	$(CARGO) build --release --package plasmon-agent --bin plasmon-agent --package plasmon-tui --bin plasmon
ifneq ($(ONLY),keys)
	$(CARGO) bench --package plasmon --bench plasmon -- $(ONLY)
endif
ifeq ($(filter-out keys,$(ONLY)),)
	$(CARGO) bench --package plasmon-tui --bench keys
endif

demo: ## Open the dashboard on a demo workload
	$(CARGO) run --release --package plasmon-tui --bin plasmon -- demo
