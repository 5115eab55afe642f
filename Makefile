# Two commands set everything up from nothing: `make demo` shows the tool at work, `make test` proves it right.
# The first of them makes .venv; nothing outside this folder is touched.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PEERS := .peers

.PHONY: demo test test-slow lint models pictures operators accuracy bench fuzz clean

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(READY)

demo: $(READY)  ## a network that cannot learn, and its cure
	-$(BIN)/gradcheck diagnose sample_models/sigmoid_mlp.pt --data sample_models/sigmoid_mlp.npz
	$(BIN)/gradcheck diagnose sample_models/relu_mlp.pt --data sample_models/relu_mlp.npz

test: $(READY) lint  ## under ten minutes on two cores
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

test-slow: $(READY) lint  ## everything; before an issue is called resolved
	$(BIN)/python -m pytest -q -n 2

lint: $(READY)
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy

models: $(READY)  ## build the sample models again
	$(BIN)/python sample_models/build.py

pictures: $(READY)  ## make the pictures of the README again; the page's needs a Chromium
	$(BIN)/python benchmarks/pictures.py

operators: $(READY)  ## write the table of ONNX operators again
	$(BIN)/python tests/onnx_ops/operators_document.py

accuracy: $(READY)  ## the labelled set, ours and others', into the README
	test -d $(PEERS) || $(BIN)/python -m pip install --quiet --no-deps --target $(PEERS) torchmortem==0.1.1 torchdiag==0.1.0 model-clinic==0.4.2 plotly narwhals
	cd $(PEERS) && ../$(BIN)/python ../benchmarks/accuracy/run.py --markdown ../README.md --peers .  # a peer leaves a file where it runs

bench: $(READY)  ## what an instrumented pass costs
	$(BIN)/python benchmarks/overhead.py

fuzz: $(READY)  ## 10,000 seeded mutations of an honest file of every format; COUNT=… and FORMATS=… for fewer
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m hostile.fuzz --count $(or $(COUNT),10000) $(FORMATS)

clean:
	rm -rf .venv .gradcheck .mypy_cache .pytest_cache .ruff_cache .hypothesis
