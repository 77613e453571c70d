# Each target does its own set-up. The logic is in tools/task; `cargo run -p byway-task` lists it.
TASK = cargo run -q -p byway-task --

.PHONY: demo test build lint soak rfc bench-engine icount linker

demo: linker
	@$(TASK) demo

test: linker
	@$(TASK) test

build: linker
	@$(TASK) build

lint: linker
	@$(TASK) lint

# The simulator with random seeds, until one fails: make soak SECONDS=600
SECONDS = 60
soak: linker
	@$(TASK) soak $(SECONDS)

# The engine alone, in memory, beside its targets and smoltcp: make bench-engine ARGS='--quick echo'
bench-engine: linker
	@$(TASK) bench-engine $(ARGS)

# Instructions of each operation against bench/engine/icount.toml: make icount BLESS=--bless
icount: linker
	@$(TASK) icount $(BLESS)

# What of each RFC is implemented, tested, excepted with a reason, or open.
rfc: linker
	@cargo run -q -p byway-rfcmap -- --check --no-open-must

# The one thing that cannot be Rust: a linker to build the rest with.
linker:
	@command -v cc >/dev/null || $(SUDO) sh -c 'apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev'

SUDO = $(shell test `id -u` = 0 || echo sudo)
