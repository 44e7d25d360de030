# What a developer can run. `make` alone lists it.

CARGO ?= cargo

.PHONY: help python test-python bench-python test campaign fuzz sanitize lint bench demo
.DEFAULT_GOAL := help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# Programs join this user's newest agent: the README's run one after the other.
test: target/moto target/websockets ## Run every test: the workspace, the memory models, the simulator, a short kill campaign
	$(CARGO) test --workspace --exclude plasmon-python --lib --bins --tests
	$(CARGO) test --workspace --exclude plasmon-python --doc -- --test-threads=1
	$(CARGO) test --package plasmon-agent --features object-storage --lib --test object_storage
	$(CARGO) test --package plasmon-tui --test python
	RUSTFLAGS="$(RUSTFLAGS) --cfg loom" $(CARGO) test --release --package plasmon-memory --lib --target-dir target/loom
	$(CARGO) test --release --package plasmon-agent --test simulator
	$(CARGO) test --package plasmon --features failpoints --test campaign
	$(MAKE) --no-print-directory test-python

# A server of the S3 protocol, for tests of object storage: moto, from PyPI.
MOTO = 5.1.6
target/moto:
	@echo "installing the packages moto[server] $(MOTO) and what they need from PyPI into target/moto"
	rm -rf $@
	python3 -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check "moto[server]==$(MOTO)" || { rm -rf $@; exit 1; }
	touch $@

# A client of the live stream that is not ours, for the README's reader: websockets, from PyPI.
WEBSOCKETS = 15.0.1
target/websockets:
	@echo "installing the package websockets $(WEBSOCKETS) from PyPI into target/websockets"
	rm -rf $@
	python3 -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check "websockets==$(WEBSOCKETS)" || { rm -rf $@; exit 1; }
	touch $@

# What builds and tests the Python package, from PyPI. numpy and pyarrow are what its values are viewed as; hypothesis draws programs.
PYTHON_PACKAGES = maturin==1.16.0 cloudpickle==3.1.3 numpy==2.4.6 pyarrow==26.0.1 pytest==9.2.0 hypothesis==6.170.17 mypy==2.4.1
target/python:
	@echo "installing the packages $(PYTHON_PACKAGES) and what they need from PyPI into target/python"
	rm -rf $@
	python3 -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check $(PYTHON_PACKAGES) || { rm -rf $@; exit 1; }
	touch $@

test-python: target/python ## Build the Python package, and run its tests
	VIRTUAL_ENV=$(CURDIR)/target/python target/python/bin/maturin develop --quiet --skip-install --manifest-path agent/python/Cargo.toml
	cd agent/python && PYTHONPATH=$(CURDIR)/agent/python $(CURDIR)/target/python/bin/python -m pytest --quiet

python: target/python ## Build the Python package's wheel into target/wheels, for CPython 3.11 and newer
	target/python/bin/maturin build --release --manifest-path agent/python/Cargo.toml --out target/wheels

# Ray, from PyPI, to measure beside it; without it Plasmon is measured alone.
RAY = 2.60.0
target/ray:
	@echo "installing the packages ray $(RAY) and numpy and what they need from PyPI into target/ray"
	rm -rf $@
	python3 -m venv $@
	-$@/bin/pip install --quiet --disable-pip-version-check "ray==$(RAY)" numpy==2.4.6 && touch $@/installed

bench-python: python target/ray ## Measure the Python package beside Ray, ratios into target/bench-python.json
	rm -rf target/bench-python
	python3 -m venv target/bench-python
	target/bench-python/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 target/wheels/plasmon-*.whl
	python3 agent/python/benches/compare.py target/bench-python.json target/bench-python/bin/python \
		$$(test -e target/ray/installed && echo target/ray/bin/python)

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
	$(CARGO) clippy --package plasmon-tui --test python -- --deny warnings
	$(CARGO) clippy --package plasmon --features failpoints --test campaign -- --deny warnings
	.ci/imports

bench: ## Measure everything beside its floor; ONLY=put measures one group
	$(CARGO) build --release --package plasmon-agent --bin plasmon-agent --package plasmon-tui --bin plasmon
	$(CARGO) bench --package plasmon --bench plasmon -- $(ONLY)

demo: ## Open the dashboard on a demo workload
	$(CARGO) run --release --package plasmon-tui --bin plasmon -- demo
