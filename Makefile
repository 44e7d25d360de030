# What a developer can run. `make` alone lists it.

CARGO ?= cargo

.PHONY: help test campaign fuzz sanitize lint bench demo
.DEFAULT_GOAL := help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

test: ## Run every test: the workspace, the memory models, the simulator, a short kill campaign
	$(CARGO) test --workspace
	RUSTFLAGS="$(RUSTFLAGS) --cfg loom" $(CARGO) test --release --package plasmon-memory --lib --target-dir target/loom
	$(CARGO) test --release --package plasmon-agent --test simulator
	$(CARGO) test --package plasmon --features failpoints --test campaign

campaign: ## Kill processes under load, KILLS=50000 of them, SEED=1 as it was with that seed
	$(CARGO) test --release --package plasmon --features failpoints --test campaign -- --kills $(or $(KILLS),2000) $(if $(SEED),--seed $(SEED))

fuzz: ## Feed every decoder with nonsense for longer than the tests do; INPUTS=1000000 SEED=7
	FUZZ_INPUTS=$(or $(INPUTS),200000) FUZZ_SEED=$(or $(SEED),1) $(CARGO) test --workspace --test fuzz

# A named target keeps build scripts and macros free of the sanitizers; they are there for a stable compiler that is told so.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
SANITIZED = --package plasmon-memory --package plasmon --lib --test processes --test objects --test references --test containment \
	--test memory --test tasks
SANITIZE = RUSTC_BOOTSTRAP=1 CARGO_PROFILE_DEV_OPT_LEVEL=1 $(CARGO) test --target $(HOST) $(SANITIZED)

sanitize: ## Run the memory crate and the client under the address and the thread sanitizer
	RUSTFLAGS="$(RUSTFLAGS) -Zsanitizer=address" $(SANITIZE) --target-dir target/address
	RUSTFLAGS="$(RUSTFLAGS) -Zsanitizer=thread -Zunstable-options -Cunsafe-allow-abi-mismatch=sanitizer" \
		TSAN_OPTIONS="suppressions=$(CURDIR)/protocol/memory/tsan.txt" $(SANITIZE) --target-dir target/thread

lint: ## Check format, lints and who imports whom
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings
	$(CARGO) clippy --package plasmon --features failpoints --test campaign -- --deny warnings
	.ci/imports

bench: ## Measure everything beside its floor; ONLY=put measures one group
	$(CARGO) build --release --package plasmon-agent --bin plasmon-agent
	$(CARGO) bench --package plasmon --bench plasmon -- $(ONLY)

demo: ## Open the dashboard on a demo workload
	$(CARGO) run --release --package plasmon-tui --bin plasmon -- demo
