# Every target is a thin call of the `swarm` command; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SWARM := $(BIN)/swarm

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev up down status logs config opencode test test-unit test-e2e bench lint format lock \
        fuzz-worker soak failover journal tool-calls tool-formats strategies eval eval-votes eval-model train-model \
        clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  Settings: MODEL=path|hf:owner/repo:file.gguf  INSTANCES=3  PORT=17615  FOREGROUND=1  SWARM_HOME=folder"

setup: ## Set up .venv: locked packages and the inference engine, compiled for this machine
	@$(PYTHON) services/cli/bootstrap.py

setup-dev:
	@$(PYTHON) services/cli/bootstrap.py --dev

up: setup ## Start the swarm and return when it is ready
	@$(SWARM) up $(if $(MODEL),--model "$(MODEL)") $(if $(INSTANCES),--instances "$(INSTANCES)") \
	  $(if $(PORT),--port "$(PORT)") $(if $(FOREGROUND),--foreground)

down: ## Stop the swarm
	@if [ -x $(SWARM) ]; then $(SWARM) down; else echo "Nothing is set up here, so nothing runs."; fi

status: setup ## Show processes, workers and models
	@$(SWARM) status

logs: setup ## Follow the logs (SERVICE=worker for one)
	@$(SWARM) logs --follow $(SERVICE)

config: setup ## Show every setting with its origin
	@$(SWARM) config

opencode: setup ## Write an opencode.json for this swarm beside its state, and say how to use it
	@$(SWARM) opencode

test: setup-dev ## Lint, types, contracts and all tests
	@PYTHON=$(PYTHON) tests/run $(ARGS)

test-unit: setup-dev ## The fast tests only
	@$(BIN)/python -m pytest tests/unit $(ARGS)

test-e2e: setup-dev ## Real processes and real clients only
	@tests/tools/install
	@$(BIN)/python -m pytest tests/e2e $(ARGS)

bench: setup ## Ours and llama-server in one run, ratios against the goals (QUICK=1: three minutes)
	@$(BIN)/python -m tests.bench $(if $(QUICK),--quick) $(ARGS)

fuzz-worker: setup-dev ## Odd requests to a worker, new ones each time (EXAMPLES=5000 of each kind)
	@SWARM_FUZZ_EXAMPLES=$(or $(EXAMPLES),5000) $(BIN)/python -m pytest tests/integration/test_worker_fuzz.py \
	  --timeout 3600 $(ARGS)

soak: setup-dev ## Thousands of random requests to the engine on every tiny model (REQUESTS=10000 each)
	@SWARM_SOAK_REQUESTS=$(or $(REQUESTS),10000) $(BIN)/python -m pytest tests/integration/test_engine_soak.py \
	  $(ARGS)

failover: setup-dev ## Kill the serving worker at random positions of a stream, again and again (KILLS=200)
	@SWARM_FAILOVER_KILLS=$(or $(KILLS),200) $(BIN)/python -m pytest tests/integration/test_failover.py \
	  --timeout 3600 -rP $(ARGS)

tool-calls: setup-dev ## Tool calls there and back, and odd outputs (EXAMPLES=10000 a format, OUTPUTS=1000000 in all)
	@SWARM_TOOL_CALLS_EXAMPLES=$(or $(EXAMPLES),10000) SWARM_TOOL_CALLS_FUZZ=$(or $(OUTPUTS),1000000) \
	  $(BIN)/python -m pytest tests/conformance/test_tool_call_round_trips.py \
	  tests/conformance/test_tool_call_fuzz.py $(ARGS)

strategies: setup-dev ## Drawn elections for every strategy, new ones each time (EXAMPLES=5000 each)
	@SWARM_STRATEGY_EXAMPLES=$(or $(EXAMPLES),5000) $(BIN)/python -m pytest tests/conformance/test_strategies.py \
	  --timeout 3600 $(ARGS)

journal: setup-dev ## The tool server killed between execution and reply (KILLS=1000)
	@SWARM_JOURNAL_KILLS=$(or $(KILLS),1000) $(BIN)/python -m pytest tests/integration/test_tool_server_kills.py \
	  -s $(ARGS)

tool-formats: setup-dev ## Write the page of tool-call formats anew from what the tests find
	@$(BIN)/python -m tests.conformance.tool_call_matrix

lint: setup-dev ## Formatting, lint, types, import rules, contracts
	@tests/lint

format: setup-dev ## Format sources and contracts
	@$(BIN)/ruff check --fix --quiet . && $(BIN)/ruff format --quiet .
	@cd protos && ../$(BIN)/buf format --write

lock: setup-dev ## Renew the locked versions and hashes
	@tests/tools/lock

eval: setup ## What voting does to accuracy, on simulated voters, held against the formulas (QUICK=1: ten seconds)
	@$(SWARM) eval --simulated $(if $(QUICK),--quick) $(ARGS)

eval-votes: setup ## What voting is worth with the model that is up; `auto` follows it (QUICK=1: two minutes)
	@$(SWARM) eval $(if $(QUICK),--most 60 --drawn 20 --seeds 1) $(ARGS)

eval-model: setup ## Evaluate the built-in model on its four sets
	@$(BIN)/python -m deploy.built_in_model.evaluate $(ARGS)

train-model: setup ## Train the built-in model anew (needs deploy/built_in_model/requirements-train.txt)
	@$(BIN)/python -m deploy.built_in_model.train $(ARGS)

clean: ## Remove what was set up here (the state folder stays)
	@rm -rf $(VENV) .venv.lock protos/gen build dist
