# What a developer can run. `make` alone lists it.

CARGO ?= cargo

.PHONY: help test fuzz lint bench demo
.DEFAULT_GOAL := help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

test: ## Run every test: the workspace, the memory models, the simulator
	$(CARGO) test --workspace
	RUSTFLAGS="$(RUSTFLAGS) --cfg loom" $(CARGO) test --release --package plasmon-memory --lib --target-dir target/loom
	$(CARGO) test --release --package plasmon-agent --test simulator

fuzz: ## Feed every decoder with nonsense for longer than the tests do; INPUTS=1000000 SEED=7
	FUZZ_INPUTS=$(or $(INPUTS),200000) FUZZ_SEED=$(or $(SEED),1) $(CARGO) test --workspace --test fuzz

lint: ## Check format, lints and who imports whom
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings
	.ci/imports

bench: ## Measure everything beside its floor; ONLY=put measures one group
	$(CARGO) build --release --package plasmon-agent --bin plasmon-agent
	$(CARGO) bench --package plasmon --bench plasmon -- $(ONLY)

demo: ## Open the dashboard on a demo workload
	$(CARGO) run --release --package plasmon-tui --bin plasmon -- demo
