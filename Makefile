PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXTRAS := $(VENV)/.ready-extras
DOCS := $(VENV)/.ready-docs

.PHONY: help setup extras demo test test-slow test-jax test-keras wheel-check train-zoo docs lint clean

help:  ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv and install everything into it

$(READY): requirements.txt pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; try make PYTHON=python3.12" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3 cannot make virtual environments; install its venv module (Debian: python3-venv)" >&2; rm -rf $(VENV); exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

demo: $(READY)  ## find GW150914 with what ships; then simulate, train, evaluate, search, in 8 minutes at most
	@$(BIN)/python -m keras_gw_resnet demo

test: $(READY)  ## run the tests
	@$(BIN)/python -m pytest -n 2 --dist worksteal --durations=25

test-slow: $(READY)  ## run the tests that take minutes too
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m "not jax"

extras: $(EXTRAS)  ## install what is optional: JAX, ONNX, gwpy, huggingface_hub, HDF5 filters, Selenium

$(EXTRAS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[jax,onnx,gwpy,hub,filters,browser]'
	@touch $@

# XLA's expensive passes would only make these small networks slower to compile.
test-jax: $(EXTRAS)  ## run the tests of the networks and of several processes on JAX
	@KERAS_BACKEND=jax XLA_FLAGS="--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true" \
		$(BIN)/python -m pytest -n 2 --dist worksteal tests/models
	@$(BIN)/python -m pytest -m jax tests/training

wheel-check:  ## build sdist and wheel, and search GW150914 with the wheel in an empty environment: minutes
	@PYTHON=$(PYTHON) .ci/wheel

OLDEST_KERAS := $(VENV)/keras-3.6

$(OLDEST_KERAS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $@ 'keras==3.6.*'

test-keras: $(OLDEST_KERAS)  ## load the saved networks in the oldest Keras that is promised
	@KERAS_GW_RESNET_OLDEST_KERAS=$(CURDIR)/$(OLDEST_KERAS) $(BIN)/python -m pytest tests/test_oldest_keras.py

PSDS ?=
train-zoo: $(READY)  ## train every saved network again and measure it: days; PSDS=DIR takes measured noise spectra
	@$(BIN)/python -m keras_gw_resnet train-zoo $(if $(PSDS),--psd $(PSDS))

$(DOCS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

# Strict: a warning, or a link that leads nowhere, ends it.
docs: $(DOCS)  ## build the site of docs/ into build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "the site: build/site/index.html; its search needs $(BIN)/python -m http.server -d build/site"

lint: $(READY)  ## check the style and the type hints
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/ty check --no-progress --output-format concise

clean:  ## remove the environment and everything the demo made
	rm -rf $(VENV) runs
