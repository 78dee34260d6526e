# One vocabulary for people, hooks and CI. `make` lists it. Works with the GNU make 3.81 of macOS.

INSTALLED := .venv/.installed
PIP := .venv/bin/python -m pip install --disable-pip-version-check
PORT ?= 8000
CLASSROOM ?= classroom

# Notebooks and tests call programs by name and must get those of the environment.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# A name on the PATH proves nothing: it may be a shim without a Python, or a Python without venv.
PYTHONS = $(or $(PYTHON),python3.11 python3.12 python3.13 python3)
SUITABLE := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))

define NEW_ENVIRONMENT
rm -rf .venv; \
for python in $(PYTHONS); do \
	if $$python -c '$(SUITABLE)' 2>/dev/null; then exec $$python -m venv .venv; fi; \
done; \
echo "No Python 3.11, 3.12 or 3.13 with venv found (tried: $(PYTHONS)). To get one:"; \
echo "  Debian, Ubuntu  sudo apt-get install python3 python3-venv"; \
echo "  Fedora          sudo dnf install python3.13"; \
echo "  macOS           brew install python@3.13"; \
echo "  anywhere        uv python install 3.13   (https://docs.astral.sh/uv/)"; \
echo "Another place: make setup PYTHON=/path/to/python3"; \
exit 2
endef

.PHONY: help setup book serve notebooks classroom test quick check format bench data tracking retrain lock system clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(INSTALLED) ## Create .venv with exactly what requirements.lock says

# The stamp is written last, so that an interrupted installation is taken up again.
$(INSTALLED): requirements.lock pyproject.toml
	@.venv/bin/python -c 'import pip; $(SUITABLE)' 2>/dev/null || { $(NEW_ENVIRONMENT); }
	$(PIP) -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

book: setup ## Execute every page and build the site into _build/html
	.venv/bin/python -m extensions.execute
	.venv/bin/jupyter-book build --warningiserror --nitpick --keep-going .

serve: book ## Build the site, then serve it on this machine (PORT=8000)
	@echo "The book is at http://127.0.0.1:$(PORT)/ until you press Ctrl-C. Port taken? make serve PORT=8001"
	@.venv/bin/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

notebooks: setup ## Write the learners' .ipynb files into _build/notebooks
	.venv/bin/python -m extensions.notebooks chapters _build/notebooks

classroom: setup ## Make a course folder for nbgrader, or update it (CLASSROOM=classroom)
	@.venv/bin/python -m autograder.classroom $(CLASSROOM)

test: check ## Run every check and test; REQUIRE_SYSTEM=1 lets none be skipped
	@.venv/bin/python -B -m pivot.system || test -z "$$REQUIRE_SYSTEM"
	.venv/bin/python -m pytest -n auto

quick: setup ## Run the tests that take a moment
	.venv/bin/python -m pytest -n auto -m 'not slow'

check: setup ## Check format, lint, types and the page contract
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/python -m extensions.page_contract

format: setup ## Format the code and mend what lint can
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: setup ## Measure every performance figure the project states
	.venv/bin/python -m benchmarks

data: setup ## Check the data TRIAGE_DATA names; banking77 is downloaded once
	.venv/bin/python -m triage data

tracking: setup ## Start MLflow's tracking server on sqlite
	.venv/bin/python -m triage tracking

retrain: setup ## Train on TRIAGE_DATA, compare with the champion, promote or refuse (needs make tracking)
	.venv/bin/python -m triage retrain

lock: setup ## Write requirements.lock from pyproject.toml (UPGRADE=1: with the newest versions)
	.venv/bin/uv pip compile --quiet pyproject.toml --all-extras --universal --python-version 3.11 \
		$(if $(UPGRADE),--upgrade) --custom-compile-command 'make lock' --output-file requirements.lock

# -B: run by sudo it would leave root's files in the checkout.
system: setup ## Install or name what pip cannot: container engine, bubblewrap, Chromium
	.venv/bin/python -B -m pivot.system

clean: ## Delete what was built; .venv, .triage and classroom stay
	rm -rf _build .mypy_cache .pytest_cache .ruff_cache
