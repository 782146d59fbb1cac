# The only entry points. `make help` lists them.

CARGO_TARGET_DIR ?= $(CURDIR)/target
PYTHON ?= python3
export CARGO_TARGET_DIR PYTHON

VERBATIM := $(CARGO_TARGET_DIR)/release/verbatim
WHISPER_CPP := $(CARGO_TARGET_DIR)/release/verbatim-bench-whisper-cpp
TOOLS := $(CARGO_TARGET_DIR)/tools
SKIPPED := $(CARGO_TARGET_DIR)/skipped.txt
WITH_PACKAGES := scripts/with-packages.sh $(TOOLS)
WITH_NODE_PACKAGES := scripts/with-node-packages.sh $(TOOLS)
NODE_TEST := $(WITH_NODE_PACKAGES) scripts/node --test --test-concurrency=1 scripts/node/
CLIENT_TEST := $(WITH_PACKAGES) scripts/client/requirements.txt -m unittest discover --start-directory scripts/client

.PHONY: help run build setup models test chaos neon miri client-test lint deny fixtures accuracy topics bench versions whisper-cpp

help: ## What can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: build ## Set up, build and serve on 127.0.0.1:8000
	@$(PYTHON) scripts/models.py base silero-vad-v6 all-minilm-l6-v2 en_core_web_sm
	@echo "Once it listens, try:  curl -F file=@recording.mp3 \"http://$${HOST:-127.0.0.1}:$${PORT:-8000}/process\""
	@exec $(VERBATIM) serve

build: ## The release binary, target/release/verbatim
	@scripts/system-packages.sh run
	@cargo build --release --locked --package verbatim

models: ## Fetch and check the model files that the service and its tests need
	@$(PYTHON) scripts/models.py base tiny.en silero-vad-v6 all-minilm-l6-v2 en_core_web_sm

setup: models ## System packages and model files for the tests
	@scripts/system-packages.sh test
	@$(WITH_PACKAGES) scripts/ggml/requirements.txt scripts/ggml/convert.py tiny.en:f16 tiny.en:f32 base:q8_0 base:q5_1

test: setup ## Every test, with the real model and the real ffmpeg; in the end, which were skipped and why
	$(PYTHON) -m unittest discover --start-directory scripts/tests
	@rm -f $(SKIPPED)
	VERBATIM_SKIPPED=$(SKIPPED) cargo test --workspace --locked
	VERBATIM=$(CARGO_TARGET_DIR)/debug/verbatim $(CLIENT_TEST)
	VERBATIM=$(CARGO_TARGET_DIR)/debug/verbatim $(NODE_TEST)
	@if [ -s $(SKIPPED) ]; then echo "skipped tests:"; sort -u $(SKIPPED); else echo "no test was skipped"; fi

chaos: setup ## Fifty kills at random moments while jobs run, uploads of 3 GB, one of 1 GB that is cut fifty times: a quarter of an hour at most
	VERBATIM_CHAOS_KILLS=50 VERBATIM_CHAOS_JOBS=20 cargo test --package verbatim --locked --test it -- --nocapture chaos::
	VERBATIM_UPLOAD_MB=3000 cargo test --package verbatim --locked --test memory -- --nocapture
	VERBATIM_UPLOAD_MB=1000 VERBATIM=$(CARGO_TARGET_DIR)/debug/verbatim $(NODE_TEST)

neon: ## The engine's unit tests on 64-bit ARM, compiled here and run in qemu
	@scripts/system-packages.sh neon
	@scripts/neon.sh $(TOOLS)

# rten-vecmath's maths in place reads through a pointer that Stacked Borrows forbids and Tree Borrows allows.
miri: ## The portable kernels in Miri, which finds undefined behaviour: five minutes
	@cargo +nightly miri --version >/dev/null 2>&1 || { echo "miri: please run \"rustup toolchain install nightly --component miri,rust-src\", then this again." >&2; exit 1; }
	cargo +nightly miri test --package verbatim-kernels --lib --locked -- attention:: quantize:: panels::
	MIRIFLAGS=-Zmiri-tree-borrows cargo +nightly miri test --package verbatim-kernels --lib --locked -- vector:: layer_norm::

lint: deny ## Formatting, the arrows between crates and modules, clippy with warnings denied, licences and advisories
	cargo fmt --all --check
	cargo test --package verbatim-testing --locked --test arrows
	cargo clippy --workspace --all-targets --locked -- --deny warnings

deny:
	@scripts/system-packages.sh run
	@scripts/deny.sh $(TOOLS)

client-test: build setup ## The clients that people have, unchanged, against a real server: OpenAI's packages, tus-js-client, Bazarr's calls
	VERBATIM=$(VERBATIM) $(CLIENT_TEST)
	VERBATIM=$(VERBATIM) $(NODE_TEST)

fixtures: setup ## Compute the engine's reference numbers anew, with faster-whisper
	$(WITH_PACKAGES) scripts/fixtures/requirements.txt scripts/fixtures/make.py
	$(WITH_PACKAGES) scripts/fixtures/embeddings-requirements.txt scripts/fixtures/embeddings.py
	$(WITH_PACKAGES) scripts/fixtures/spacy-requirements.txt scripts/fixtures/spacy_networks.py
	$(WITH_PACKAGES) scripts/fixtures/spacy-requirements.txt scripts/fixtures/spacy_english.py

accuracy: build models ## Word error rates over ../shared/speech and ../shared/speech-large, beside faster-whisper
	$(WITH_PACKAGES) bench/requirements.txt bench/accuracy.py --verbatim $(VERBATIM)

topics: build models ## Where topics change, beside other methods: Pk and WindowDiff over joined texts and talks
	$(WITH_PACKAGES) bench/segmentation/requirements.txt bench/segmentation/evaluate.py --verbatim $(VERBATIM) \
		--packages $(TOOLS)/segmentation

whisper-cpp: models ## whisper.cpp, which `make bench` measures, and files of the base model for it
	@scripts/system-packages.sh bench
	@cd bench/whisper-cpp && cargo build --release --locked
	@$(WITH_PACKAGES) scripts/ggml/requirements.txt scripts/ggml/convert.py base:f16 base:q8_0 base:q5_1

versions: build models ## This build and another, BEFORE=program, in turns: speed, and whether both say the same
	$(PYTHON) bench/versions.py --before $(BEFORE) --verbatim $(VERBATIM)

bench: build setup whisper-cpp ## Speed, memory and the service, in turns with faster-whisper, whisper.cpp and spaCy: target/bench.md
	@$(WITH_PACKAGES) bench/requirements.txt bench/report.py --verbatim $(VERBATIM) --whisper-cpp $(WHISPER_CPP) \
		--output $(CARGO_TARGET_DIR)/bench.md
