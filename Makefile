# Every command of a developer. Each makes the environment first when it is missing or out of date.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup setup-guest demo demo-fleet test test-lvm test-rbd crash crash-lvm crash-rbd crash-fleet soak soak-fleet lint bench bench-recovery bench-fleet bench-lvm bench-rbd docs clean

# A suite starts hundreds of interpreters: none of them compiles what the one before it has compiled.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
# Workers of the test suite, two for each core of a small machine: tests wait for processes more than they compute.
# Each test has its own daemon, state folder and ports.
JOBS ?= 4
TESTS ?= tests
BENCH ?=
# How long a soak goes on, and the seed that it replays; it prints its own.
MINUTES ?= 60
SEED ?=
export SEED
CRASH ?=
# What runs in guests, or boots them.
GUEST_TESTS := tests/guest tests/conformance/test_lio.py $(addprefix tests/functional/lab/, \
	test_guest.py test_guest_watch.py test_lvm_node.py test_lvm_doctor.py)

help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

setup:  ## make .venv and install what is needed from Debian (as root), starting no service
	@tools/setup

setup-guest: setup  ## fetch the kernel that tests of LVM and LIO run on; once on a machine
	@$(BIN)/python -m tests.lab.guest.kernel

demo: setup  ## the main job, narrated: a volume over real iSCSI, with a kill -9 in the middle
	@$(BIN)/python -m demo.main_job

demo-fleet: setup  ## a fleet on RabbitMQ and PostgreSQL at work, while one part of it after another is killed
	@$(BIN)/python -m demo.fleet

lint: setup  ## ruff, mypy --strict, import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint  ## lint and every test; ends with pytest's closing line
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q $(TESTS)

test-lvm: setup-guest  ## what runs on a kernel of its own: LVM and LIO
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q $(GUEST_TESTS)

crash: setup  ## the full product of failures and kills, with a report; takes an hour (CRASH="attach and not undone" for some)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q -m full $(if $(CRASH),-k "$(CRASH)") tests/crash

crash-lvm: setup-guest  ## the full product of kills on LVM, and crashes of the machine
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q -m full $(GUEST_TESTS)

test-rbd: setup  ## what make test has of the RBD driver: the conformance kit, a service and a table of faults on a real cluster
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q tests/conformance/test_rbd.py tests/functional/rbd

crash-rbd: setup  ## the full product of RBD: kills of the service at every crash point, long random runs, daemons killed
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q -m rbd tests/functional/rbd

crash-fleet: setup  ## every scenario killed at every point on a fleet, and again in its recovery (CRASH=... for some)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q -m fleet $(if $(CRASH),-k "$(CRASH)") tests/functional tests/unit

soak-fleet: setup  ## random load on a fleet with kills of random services, for MINUTES=60; SEED=number replays
	VOLUMED_SOAK_MINUTES=$(MINUTES) $(BIN)/python -m pytest -n 1 -q -m soak tests/functional/fleet

soak: setup  ## random load and random sequences with kill -9 in them, for MINUTES=60; SEED=number replays what it found
	VOLUMED_SOAK_MINUTES=$(MINUTES) $(BIN)/python -m pytest -n 2 -q -m soak tests/crash

bench: setup  ## the figures, each beside the raw cost of the same work (BENCH=name for some)
	@$(BIN)/python -m bench $(BENCH)

bench-recovery: setup  ## the figures of restart, doctor under load, and what crash safety costs
	@$(BIN)/python -m bench restart backlog doctor-under-load crash-safety

bench-fleet: setup  ## a fleet beside the embedded mode: latency, throughput, CPU, statements, RPC, memory, restart
	@$(BIN)/python -m bench fleet fleet-rpc fleet-volumes fleet-memory

bench-lvm: setup-guest  ## the LVM driver and LIO on a kernel of its own, beside bare LVM commands and writes of configfs
	@$(BIN)/python -m bench lvm lvm-restart lio attach

bench-rbd: setup  ## the RBD driver beside bare librbd on a real cluster, and with thousands of images
	@$(BIN)/python -m bench rbd rbd-rest rbd-images

docs: setup  ## generate the sample configuration, the sample policy and the references
	$(BIN)/python -m volumed.cmd.generate

clean:  ## remove what the commands above made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
