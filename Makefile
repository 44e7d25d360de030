# What a developer can run. `make` alone lists it.

CARGO ?= cargo

.PHONY: help test campaign lint bench demo
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
