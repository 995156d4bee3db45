# make demo   sets everything up and lip-syncs a face: demo/out.mp4, demo/compare.mp4
# make test   sets everything up and runs the whole suite; its last line says how long that took
# make test-thorough  the same with all rows of large tables of like tests
# make test-fast  the same without the tests that start PostgreSQL, S3, Prefect, Triton or a browser
# make check  types, lint, format, the direction of imports, and the documents against the code
# make up     starts the service on this machine: PostgreSQL, S3, Prefect, workers (docs/service.md); make down stops it
# make torch  adds the extra that imports PyTorch checkpoints; with it, make test proves the neural path as well
# make triton adds the server of models (NVIDIA Triton) in an environment of its own; with it, make test proves that path
# make fuzz   3,000 mutated media files, each read in a guarded child; goes on where it was stopped (.fuzz.json)
# make bench  the figures of the README, as ratios
# make faults breaks a service of its own, again and again, and counts what became of the jobs (hours)
# make clean  removes what the targets above made (make distclean: the virtual environment as well)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRITON := .venv-triton
PINS := pyproject.toml constraints.txt
MODELS := mediapipe-face speech-encoder

# Each of some hundred processes of the tests would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-thorough test-fast fuzz check up down torch triton bench faults models clean distclean
.DELETE_ON_ERROR:
.NOTPARALLEL:

demo: $(VENV)/.installed-demo models demo/face.mp4
	$(BIN)/lipsync run demo/face.mp4 demo/speech.wav -o demo/out.mp4
	@$(BIN)/python demo/compare.py demo/face.mp4 demo/out.mp4 demo/compare.mp4
	@echo "The result is demo/out.mp4; beside its source: demo/compare.mp4"

demo/face.mp4: demo/make_face_clip.py | $(VENV)/.installed-demo
	$(BIN)/python demo/make_face_clip.py $@

test: $(VENV)/.installed models
	$(BIN)/python -m pytest -n 3

test-thorough: $(VENV)/.installed models
	$(BIN)/python -m pytest -n 3 --thorough

test-fast: $(VENV)/.installed models
	$(BIN)/python -m pytest -n 3 -m "not servers"

fuzz: $(VENV)/.installed models
	$(BIN)/python -m tests.hostile.fuzzing --cases 3000 --state .fuzz.json --folder .fuzz

check: $(VENV)/.installed models
	$(BIN)/python -m mypy
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m pytest -q tests/test_architecture.py tests/test_docs.py tests/test_environment.py \
	  tests/test_option_specs.py tests/test_readme.py

up: $(VENV)/.installed-service models
	@$(BIN)/python -m infra.local up

down: | $(BIN)/python
	@$(BIN)/python -m infra.local down

torch: $(VENV)/.installed-torch

triton: $(TRITON)/.installed

bench: $(VENV)/.installed models demo/face.mp4
	set -e; for script in $$(grep -l __main__ benchmarks/*.py | grep -v faults.py); do $(BIN)/python "$$script"; done

faults: $(VENV)/.installed models demo/face.mp4
	$(BIN)/python benchmarks/faults.py

models: | $(VENV)/.installed-demo
	@set -e; for model in $(MODELS); do $(BIN)/lipsync models pull --quiet $$model; done

# The demo needs less than the tests do, so each has a stamp; installing for the tests serves the demo too.
$(VENV)/.installed: $(PINS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --compile -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed-demo $(VENV)/.installed-service

$(VENV)/.installed-demo: $(PINS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --compile -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/.installed-service: $(PINS) | $(VENV)/.installed-demo
	$(BIN)/python -m pip install --quiet --compile -c constraints.txt -e '.[local-service]'
	@touch $@

$(VENV)/.installed-torch: $(PINS) | $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --compile -c constraints.txt -e '.[torch]'
	@touch $@

$(TRITON)/.installed: tests/model_server/requirements.txt | $(BIN)/python
	rm -rf $(TRITON)
	$(BIN)/python -m venv --without-pip $(TRITON)
	$(BIN)/python -m pip --python $(TRITON)/bin/python install --quiet --compile --no-deps -r $<
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "lipsync needs Python 3.11 or newer; name one with: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "Python has no venv module; install it with: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf build demo/*.mp4 .fuzz .fuzz.json .mypy_cache .pytest_cache .ruff_cache

distclean: clean
	rm -rf $(VENV) $(TRITON) *.egg-info
