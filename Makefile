# One word per job; `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup setup-train setup-sources demo synth test test-slow bench bench-optimize bench-tfmot bench-cold bench-warm bench-rows bench-serve bench-monitor lint type fmt clean
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Compiled files are what makes the second start quick, so ask for them whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

ready := .venv/ready

help: ## list the jobs
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(ready): requirements.lock downloads.lock package-lock.json scripts/setup.sh scripts/from_wheel.py
	@scripts/setup.sh

# What of the code is compiled; again when its sources change.
native := handlers/inference/native/x86_64.so
$(native): $(ready) $(wildcard handlers/inference/native/*.[ch]) scripts/build_native.py
	@echo "setup: the native library for both processors"
	@.venv/bin/python scripts/build_native.py

setup: $(native) ## make .venv with optimize, coldpress and cdk in .venv/bin

# From a CPU build, where the package index has one (190 MB); plain torch for Linux brings gigabytes of CUDA.
setup-train: $(native) ## add to .venv what `optimize --train` needs (torch, onnxscript)
	.venv/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 onnxscript==0.7.2

# What models of other frameworks are converted with (docs/sources.md): the extras of pyproject.toml, pinned.
# xgboost-cpu is xgboost without CUDA.
setup-sources: setup-train ## add to .venv what `optimize` converts other frameworks' models with
	.venv/bin/python -m pip install --quiet --disable-pip-version-check onnxscript==0.7.2 safetensors==0.8.0 \
		tokenizers==0.23.3 transformers==5.24.0
	.venv/bin/python -m pip install --quiet --disable-pip-version-check catboost==1.2.10 lightgbm==4.7.0 \
		onnxmltools==1.16.0 pandas==3.1.1 scikit-learn==1.9.1 skl2onnx==1.20.0 skops==0.16.0 xgboost-cpu==3.2.0
	.venv/bin/python -m pip install --quiet --disable-pip-version-check tensorflow==2.21.0 \
		tensorflow-model-optimization==0.8.1 tf-keras==2.21.0 tf2onnx==1.17.0

demo: $(native) ## press, push, deploy and ask a real model on this machine
	@.venv/bin/python -m examples.ocr.demo

synth: $(native) ## write the CloudFormation templates to cdk.out/
	cdk synth --quiet -c stage=prod -c version=1 -c digest=$$(printf '0%.0s' $$(seq 64))

test: $(native) ## run the tests (minutes), without what needs setup-sources if that is not there
	.venv/bin/python -m pytest -n 2 --dist loadfile

test-slow: $(native) setup-sources ## run the tests that need podman, qemu, other frameworks or a long time
	.venv/bin/python -m pytest -m slow --timeout 3000
	.venv/bin/python -m pytest tests/optimizer/train tests/optimizer/sources tests/handlers/test_texts.py

bench: bench-optimize bench-tfmot bench-cold bench-warm bench-rows bench-serve bench-monitor ## measure, print tables and write benchmarks/results/

bench-optimize: $(native) setup-sources ## `optimize` and other tools on real models (hours the first time)
	.venv/bin/python -m benchmarks.optimize

bench-tfmot: $(native) setup-sources ## TFMOT's tutorial model, made small by TFMOT with TFLite and by `optimize` (minutes)
	.venv/bin/python -m benchmarks.tfmot

bench-cold: $(native) ## first answers of Lambda environments, ours and others' (half an hour)
	.venv/bin/python -m benchmarks.cold

bench-warm: $(native) ## requests to a warm environment over the model's own run (minutes)
	.venv/bin/python -m benchmarks.warm

bench-rows: $(native) ## many rows of a request in one run and in pieces (minutes)
	.venv/bin/python -m benchmarks.rows

bench-serve: $(native) ## `coldpress serve` and other servers on one machine (a quarter of an hour)
	.venv/bin/python -m benchmarks.serve

bench-monitor: $(native) ## how soon monitors see a change, ours and others' (an hour)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 .venv/bin/python -m benchmarks.monitor

lint: $(native) ## lint, check the format and the rooms' import rules
	ruff check .
	ruff format --check .
	lint-imports --no-logo

type: $(native) ## check the types (strict)
	mypy

fmt: $(native) ## format
	ruff check --fix --select I,F401 .
	ruff format .

clean: ## remove everything that was made here
	rm -rf .venv node_modules build cdk.out .coldpress *.egg-info handlers/inference/native/*.so
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache
