# make serve, make test: everything else is in between.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m
TYPES := $(BIN)/livethread spec schemas | node webclient/scripts/types.mjs

.PHONY: serve test check types format fuzz bench soak install webclient clean

serve: install webclient
	$(BIN)/livethread serve $(ARGS)

test: install webclient
	cd webclient && npm test
	$(RUN) pytest --numprocesses 2 --dist loadfile $(ARGS)

check: install webclient/node_modules/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	cd webclient && npm run check
	$(TYPES) | diff - webclient/src/wire-types.ts || (echo "The wire has changed: run 'make types'."; exit 1)

types: install webclient/node_modules/.installed
	$(TYPES) > webclient/src/wire-types.new
	mv webclient/src/wire-types.new webclient/src/wire-types.ts

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: install
	LIVETHREAD_FUZZ=10000 $(RUN) pytest tests/server/test_fuzz.py tests/server/sockets/test_fuzz.py tests/e2e/test_openapi_fuzz.py tests/e2e/test_eviction_killed.py --timeout 0 $(ARGS)

bench: install
	$(RUN) tests.bench $(if $(PEER),--peer $(PEER)) $(ARGS)

soak: install
	$(RUN) tests.soak $(ARGS)

install: $(VENV)/.installed

webclient: webclient/dist/index.html

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --upgrade "pip>=24.1"
	@echo "Installing; the first time llama.cpp is compiled, which takes some minutes."
	$(RUN) pip install --editable ".[server,dev]"
	touch $@

webclient/node_modules/.installed: webclient/package.json webclient/package-lock.json
	cd webclient && npm ci --no-fund --no-audit
	touch $@

webclient/dist/index.html: webclient/node_modules/.installed $(shell find webclient/src webclient/docs webclient/index.html webclient/public -type f 2>/dev/null)
	cd webclient && npm run build
	touch $@

clean:
	rm -rf $(VENV) webclient/node_modules webclient/dist .mypy_cache .ruff_cache .pytest_cache
