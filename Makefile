# Everything that a new machine needs is set up by these targets; none needs root, Docker or a cloud account.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOME_DIR := demo-home
UV := $(BIN)/uv
NEXTFLOW := .nextflow-runtime
PICARD := .picard-runtime
INSTALL := $(UV) pip install --quiet --require-hashes
# Images of containers like to set it: then each of the thousand Pythons of the tests compiles all that it imports anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo demo-healthomics demo-kadi nextflow nextflow-if-possible picard picard-if-possible prism-if-possible test test-multiqc test-allotropy cover check format bench soak fuzz serve clean-demo lock

help: ## what can be made
	@grep -hE '^[a-zA-Z_.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv: $(VENV)/.ready ## the environment, from the hashed lock
$(VENV)/.ready: locks/dev.txt locks/uv.txt pyproject.toml
	@echo "setting up $(VENV) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Labrelay needs Python 3.11 or newer: make PYTHON=python3.x")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/uv.txt
	@$(INSTALL) --python $(BIN)/python -r locks/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.venv-crate: .venv-crate/.ready ## the crate validator's own environment (it cannot live beside ours)
.venv-crate/.ready: locks/crate-validator.txt $(VENV)/.ready
	@echo "setting up .venv-crate …"
	@$(PYTHON) -m venv .venv-crate
	@$(INSTALL) --python .venv-crate/bin/python -r locks/crate-validator.txt
	@touch $@

.venv-aws-lint: .venv-aws-lint/.ready ## the environment of the linters for AWS policies
.venv-aws-lint/.ready: locks/aws-lint.txt $(VENV)/.ready
	@echo "setting up .venv-aws-lint …"
	@$(PYTHON) -m venv .venv-aws-lint
	@$(INSTALL) --python .venv-aws-lint/bin/python -r locks/aws-lint.txt
	@touch $@

.venv-referees: .venv-referees/.ready ## the environment of the AWS CLI, AWS's own HealthOmics tools, and Zarr's and NGFF's own readers
.venv-referees/.ready: locks/referees.txt $(VENV)/.ready
	@echo "setting up .venv-referees …"
	@$(PYTHON) -m venv .venv-referees
	@$(INSTALL) --python .venv-referees/bin/python -r locks/referees.txt
	@touch $@

.venv-multiqc: .venv-multiqc/.ready ## MultiQC in an environment of its own, for `labrelay inspect --multiqc`
.venv-multiqc/.ready: locks/multiqc.txt $(VENV)/.ready
	@echo "setting up .venv-multiqc …"
	@$(PYTHON) -m venv .venv-multiqc
	@$(INSTALL) --python .venv-multiqc/bin/python -r locks/multiqc.txt
	@touch $@

.venv-allotropy: .venv-allotropy/.ready ## allotropy, which reads exports of bench instruments, in an environment of its own
.venv-allotropy/.ready: locks/allotropy.txt $(VENV)/.ready
	@echo "setting up .venv-allotropy …"
	@$(PYTHON) -m venv .venv-allotropy
	@$(INSTALL) --python .venv-allotropy/bin/python -r locks/allotropy.txt
	@touch $@

.venv-fuzz: .venv-fuzz/.ready ## atheris, beside the packages of the environment
.venv-fuzz/.ready: locks/fuzz.txt $(VENV)/.ready
	@$(INSTALL) --python $(BIN)/python --target .venv-fuzz -r locks/fuzz.txt
	@touch $@

.venv-kadi: .venv-kadi/.ready ## the real Kadi4Mat server with its own client, for tests and `make demo-kadi`
.venv-kadi/.ready: locks/kadi.txt $(VENV)/.ready
	@echo "setting up .venv-kadi …"
	@$(PYTHON) -m venv .venv-kadi
	@$(INSTALL) --python .venv-kadi/bin/python -r locks/kadi.txt
	@touch $@

.venv-image: .venv-image/.ready ## what the container image holds: Labrelay's packages and Prefect's workers
.venv-image/.ready: locks/image.txt $(VENV)/.ready
	@echo "setting up .venv-image …"
	@$(PYTHON) -m venv .venv-image
	@$(INSTALL) --python .venv-image/bin/python -r locks/image.txt
	@touch $@

.venv-prism: .venv-prism/.ready ## Prism (needs Node.js 18 or newer with npm), which holds our calls of Benchling against its OpenAPI document
.venv-prism/.ready: tests/tools/prism/package-lock.json $(VENV)/.ready
	@echo "setting up .venv-prism …"
	@rm -rf .venv-prism && mkdir .venv-prism && cp tests/tools/prism/package*.json .venv-prism
	@cd .venv-prism && npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

prism-if-possible: # the contract of Benchling is held where Node.js can run it, and skipped with a reason elsewhere
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory .venv-prism/.ready; \
	  else echo "no Node.js with npm here: Benchling's contract is not held by Prism"; fi

nextflow: $(NEXTFLOW)/.ready ## the real Nextflow, by Maven (needs Java 17 and mvn), into ./.nextflow-runtime
$(NEXTFLOW)/.ready: locks/nextflow/pom.xml locks/nextflow/SHA256SUMS locks/nextflow/first.nf
	@echo "setting up $(NEXTFLOW) …"
	@rm -rf $(NEXTFLOW)
	@mvn -q -B -f locks/nextflow/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/$(NEXTFLOW)
	@cd $(NEXTFLOW) && sha256sum --quiet -c ../locks/nextflow/SHA256SUMS && \
	  LC_ALL=C ls *.jar | cmp - <(cut -c 67- ../locks/nextflow/SHA256SUMS)
	@mkdir $(NEXTFLOW)/first && cd $(NEXTFLOW)/first && \
	  { NXF_HOME=$$PWD NXF_OFFLINE=true NXF_PLUGINS_DEFAULT=false NXF_DISABLE_CHECK_LATEST=true \
	  java -Xlog:disable -XX:TieredStopAtLevel=1 -XX:ArchiveClassesAtExit=../classes.jsa \
	  -cp "$$(LC_ALL=C ls $(CURDIR)/$(NEXTFLOW)/*.jar | paste -sd:)" nextflow.cli.Launcher run ../../locks/nextflow/first.nf \
	  </dev/null >/dev/null 2>&1 || rm -f ../classes.jsa; } # a third less at each start; without it all works as well
	@rm -rf $(NEXTFLOW)/first
	@touch $@

nextflow-if-possible: # pipelines in Nextflow run where their runtime can be had, and are skipped with a reason elsewhere
	@if command -v java >/dev/null && command -v mvn >/dev/null; then $(MAKE) --no-print-directory $(NEXTFLOW)/.ready; \
	  else echo "no Java 17 with Maven here: what needs Nextflow is left out"; fi

picard: $(PICARD)/.ready ## Picard, by Maven (needs Java 17 and mvn), into ./.picard-runtime; `labrelay demultiplex` uses it
$(PICARD)/.ready: locks/picard/pom.xml locks/picard/SHA256SUMS
	@echo "setting up $(PICARD) …"
	@rm -rf $(PICARD)
	@mvn -q -B -f locks/picard/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/$(PICARD)
	@cd $(PICARD) && sha256sum --quiet -c ../locks/picard/SHA256SUMS && \
	  LC_ALL=C ls *.jar | cmp - <(cut -c 67- ../locks/picard/SHA256SUMS)
	@touch $@

picard-if-possible: # runs are demultiplexed where Picard can be had, and skipped with a reason elsewhere
	@if command -v java >/dev/null && command -v mvn >/dev/null; then $(MAKE) --no-print-directory $(PICARD)/.ready; \
	  else echo "no Java 17 with Maven here: what needs Picard is left out"; fi

demo: $(VENV)/.ready nextflow-if-possible ## the main job on real reads, in ./demo-home
	@$(BIN)/python demo/run.py --home $(HOME_DIR)

demo-healthomics: $(VENV)/.ready ## the same through S3 and HealthOmics, by the emulator
	@$(BIN)/python demo/run.py --home $(HOME_DIR) --healthomics

demo-kadi: $(VENV)/.ready .venv-kadi/.ready ## the same told to a real Kadi4Mat server (needs PostgreSQL and Redis)
	@$(BIN)/python demo/kadi.py --home $(HOME_DIR)

clean-demo: ## stop what the demo left running and remove its home
	@if [ -x $(BIN)/labrelay ] && [ -f $(HOME_DIR)/labrelay.toml ]; then $(BIN)/labrelay --home $(HOME_DIR) down --all; fi
	@if [ -x $(BIN)/labrelay ] && [ -d $(HOME_DIR)/emulator ]; then $(BIN)/labrelay emulator --data $(HOME_DIR)/emulator --stop; fi
	@rm -rf $(HOME_DIR)

test: $(VENV)/.ready .venv-crate/.ready .venv-aws-lint/.ready .venv-referees/.ready .venv-image/.ready .venv-kadi/.ready nextflow-if-possible picard-if-possible prism-if-possible ## all set-up, then the tests (PYTEST_ARGS="-k …")
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations 15 $(PYTEST_ARGS)

test-postgres: ## the tests of the steps with all records on PostgreSQL (tests/records run on both anyway)
	@LABRELAY_TEST_POSTGRES=1 $(MAKE) --no-print-directory test PYTEST_ARGS="tests/steps $(PYTEST_ARGS)"

cover: ## the tests once more, with what they cover (half as slow again)
	@$(MAKE) --no-print-directory test PYTEST_ARGS="--cov --cov-report=term:skip-covered $(PYTEST_ARGS)"

check: $(VENV)/.ready ## lint, types, import directions, and proof that the checkers still fail
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python tests/tools/check_checkers.py

format: $(VENV)/.ready ## rewrite the code's layout
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.ready ## the figures of benchmarks/README.md
	@$(BIN)/python -m benchmarks

test-multiqc: $(VENV)/.ready .venv-multiqc/.ready ## the pages that the real MultiQC makes
	@LABRELAY_TEST_MULTIQC=$(CURDIR)/.venv-multiqc/bin/multiqc $(BIN)/python -m pytest tests/steps/test_multiqc.py -n 0

test-allotropy: $(VENV)/.ready .venv-allotropy/.ready ## exports of plate readers by the real allotropy, held against our own reader
	@LABRELAY_TEST_ALLOTROPY=$(CURDIR)/.venv-allotropy/bin/python $(BIN)/python -m pytest tests/parsers/test_allotropy.py -n 0

soak: $(VENV)/.ready ## a thousand kill -9 trials and more (SOAK_TRIALS=1000), then parsers fuzzed
	@LABRELAY_SOAK_TRIALS=$${SOAK_TRIALS:-1000} $(BIN)/python -m pytest tests/crash -k soak
	@$(MAKE) --no-print-directory fuzz

fuzz: .venv-fuzz/.ready ## parsers fed what no instrument wrote, led by the lines that it reaches (FUZZ_SECONDS=30 for each)
	@PYTHONPATH=.venv-fuzz:. $(BIN)/python tests/tools/fuzz.py all $${FUZZ_SECONDS:-30}

serve: $(VENV)/.ready ## the demo home's Prefect server, to look at its flow runs
	@$(BIN)/labrelay --home $(HOME_DIR) up

lock: $(VENV)/.ready ## resolve the locks again
	@for extra in uv crate-validator aws-lint referees multiqc allotropy fuzz kadi; do \
	  $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make lock" --upgrade locks/$$extra.in -o locks/$$extra.txt; done
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --extra dev --upgrade pyproject.toml -o locks/dev.txt
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --extra aws --extra postgres --extra serve --extra imaging --upgrade -c locks/dev.txt locks/image.in pyproject.toml -o locks/image.txt
