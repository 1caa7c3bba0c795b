# Everything here needs python3 (3.11 or newer, with venv) and make; nothing else is installed on the system.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One stamp for each lock: what runs, what the demo and the tests need besides, what the system ring needs, tools.
RUN := $(VENV)/run.stamp
DEV := $(VENV)/dev.stamp
SYSTEM := $(VENV)/system.stamp
TOOLS := $(VENV)/tools.stamp
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--find-links ops/deploy/wheels
CODE := web tasks db ops tests
# Tests and campaigns start hundreds of processes; without bytecode each would compile all of it anew.
export PYTHONDONTWRITEBYTECODE :=

# `make demo PLAN=plans/ticketland.json BUYERS=5000`; unset means the program's own default.
DEMO_ARGS := $(if $(PLAN),--plan $(PLAN)) $(if $(SEATS),--seats $(SEATS)) $(if $(BUYERS),--buyers $(BUYERS)) $(ARGS)

# What each target takes on the command line. Others are refused: `make demo BUYER=5` would sell to
# the usual crowd, and it would not be noticed.
TAKES_demo := PLAN SEATS BUYERS ARGS
TAKES_run := PLAN PORT ARGS
TAKES_preview := PLAN ARGS
TAKES_chaos := MINUTES ARGS
$(foreach target,test-fast test test-all faults fuzz bench chaos-money mutants hostile reports console,$(eval TAKES_$(target) := ARGS))
ASKED := $(or $(MAKECMDGOALS),help)
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(word 1,$(origin $(name)))),$(name)))
UNKNOWN := $(filter-out PYTHON $(foreach target,$(ASKED),$(TAKES_$(target))),$(GIVEN))
ifneq ($(UNKNOWN),)
$(error make $(ASKED) does not take $(sort $(UNKNOWN)): it takes $(sort PYTHON $(foreach target,$(ASKED),$(TAKES_$(target)))))
endif

.DEFAULT_GOAL := help
.PHONY: help install demo run reset preview test test-fast test-all faults fuzz bench chaos chaos-money mutants hostile reports docs schema migrate console lint types lock clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(DEV) ## make .venv with what demo and tests need, as locked

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Usher needs Python 3.11 or newer: make install PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Usher needs Python's venv; on Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(RUN): requirements.txt | $(BIN)/python
	@$(BIN)/python ops/local/install.py requirements.txt
	@touch $@

$(DEV): requirements.txt requirements-dev.txt | $(BIN)/python
	@$(BIN)/python ops/local/install.py requirements.txt requirements-dev.txt
	@touch $(RUN) $@

$(SYSTEM): requirements-system.txt $(DEV)
	@$(BIN)/python ops/local/install.py requirements-system.txt
	@touch $@

$(TOOLS): requirements-tools.txt $(DEV)
	@$(BIN)/python ops/local/install.py requirements-tools.txt
	@touch $@

demo: install ## sell an event out on this machine, from queue to inbox (PLAN=file or SEATS=n, BUYERS=n)
	@$(BIN)/python -m ops.demo $(DEMO_ARGS)

run: install ## start everything on http://localhost:8000 until Ctrl-C; data are kept (PLAN=file PORT=n)
	@$(BIN)/python -m ops.local.run $(if $(PLAN),--plan $(PLAN)) $(if $(PORT),--port $(PORT)) $(ARGS)

reset: install ## delete the data that make run keeps in var/run
	@$(BIN)/python -m ops.local.run --reset

preview: install ## draw a seating plan as Usher reads it, and what it would warn of (PLAN=file)
	@test -n "$(PLAN)" || { echo "Which plan? make preview PLAN=file"; exit 2; }
	@$(BIN)/python -m ops.plans.preview $(PLAN) $(ARGS)

test-fast: install ## run the tests that start no processes and are not slow (ARGS="-k name")
	@$(BIN)/python -m pytest -n 3 -m "not processes and not slow and not system" $(ARGS)

test: install ## run all tests that need nothing of the system, on real servers (ARGS="-k name")
	@$(BIN)/python -m pytest -m "not system" $(ARGS)

test-all: $(SYSTEM) ## run the tests that need Debian's packages, a browser or a second pass, too
	@$(BIN)/python -m pytest $(ARGS)

faults: install ## run the tests of faults that were found, and list what each expects
	@$(BIN)/python -m pytest --faults $(ARGS)

fuzz: install ## send 20,000 made-up requests to every operation (ARGS="--seed 7")
	@$(BIN)/python -m ops.fuzz $(ARGS)

bench: install ## measure bookings a second beside pgbench
	@$(BIN)/python -m ops.bench $(ARGS)

chaos: install ## break every part of it during a sale; nothing is lost or done twice (MINUTES=30 ARGS="--seed 7")
	@$(BIN)/python -m ops.chaos $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

chaos-money: install ## break all that can break while 2,000 buyers pay; the books agree (ARGS="--seed 7")
	@$(BIN)/python -m ops.chaos.money $(ARGS)

mutants: install ## show that each guard matters: without it a campaign fails
	@$(BIN)/python -m ops.chaos.mutants $(ARGS)

hostile: install ## attack a running Usher with what is allowed, beside honest buyers (ARGS="--only mail")
	@$(BIN)/python -m ops.hostile $(ARGS)

reports: $(RUN) ## print the organiser's and the operator's reports
	@$(BIN)/python -m ops.console.reports $(ARGS)

docs: install ## draw the pictures of ops/docs/states.md anew
	@$(BIN)/python -m ops.docs.states

schema: install ## write sql/schema.sql anew from the migrations
	@$(BIN)/python -m ops.deploy.schema

migrate: $(RUN) ## bring DATABASE_URL's schema and functions up to date
	@$(BIN)/python -m ops.deploy.migrate

console: $(RUN) ## look after a running Usher from the terminal
	@$(BIN)/python -m ops.console $(ARGS)

lint: $(TOOLS) ## ruff: errors, imports, formatting; deptry: packages are declared and used
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/deptry web tasks db ops/deploy ops/console --no-ansi
	@$(BIN)/deptry $(CODE) --requirements-files requirements.in,requirements-dev.in,requirements-system.in --no-ansi

types: $(TOOLS) $(SYSTEM) ## mypy over the code and the tests
	@$(BIN)/python -m mypy $(foreach folder,$(CODE),$(wildcard $(folder)))

# Versions stay as they are unless they must change: `rm requirements*.txt` first for all that is new.
lock: ## pin requirements*.in anew (needs uv)
	$(LOCK) --emit-find-links requirements.in -o requirements.txt
	$(LOCK) -c requirements.txt requirements-dev.in -o requirements-dev.txt
	$(LOCK) -c requirements.txt -c requirements-dev.txt requirements-system.in -o requirements-system.txt
	$(LOCK) -c requirements.txt -c requirements-dev.txt requirements-tools.in -o requirements-tools.txt

clean: ## remove everything that was made here: .venv, var, caches
	[ ! -e var/run ] || [ ! -x $(BIN)/python ] || $(BIN)/python -m ops.local.run --reset
	rm -rf $(VENV) var .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
