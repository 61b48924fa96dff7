# Each command installs what it needs: the environment, once, from the lock, and TeX. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help env demo test plan bench gpu-check study from-reference report arxiv explorer explore reference archive \
	targets verify verify-quick own-results fault-trials slurm-test image-test lint clean tex

PYTHON := $(shell command -v python3.11 || command -v python3)
CONFIG := config/study.yaml
CORES := $(shell nproc 2> /dev/null || getconf _NPROCESSORS_ONLN)
ENVIRONMENT := .venv/made-from-lock
SNAKEMAKE := .venv/bin/snakemake
RUFF := .venv/bin/ruff
TEX := texlive-latex-base texlive-latex-recommended texlive-fonts-recommended texlive-latex-extra \
	texlive-science lmodern latexmk poppler-utils
FAIL = { echo 'error: $(1)' >&2; exit 1; }
FINISHED = planned=$$($(SNAKEMAKE) --dry-run --config "$(1)" 2>&1) || { echo "$$planned" >&2; exit 1; }; \
	grep 'Nothing to be done' <<< "$$planned" > /dev/null || \
	$(call FAIL,the study has not run to its end here; make study first)

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

env: $(ENVIRONMENT) ## install the locked environment into .venv

demo: tex $(ENVIRONMENT) ## the whole workflow on built-in data, in 10 to 20 minutes
	$(SNAKEMAKE) --cores 2 --config study=config/demo.yaml
	@printf '\nThe demo is done. Nothing in it is a result: its data are stand-ins.\n'
	@printf '  %-8s %s\n' paper demo/paper/paper.pdf figures demo/figures/ summary demo/results/summary.csv

test: tex $(ENVIRONMENT) ## the whole suite; ARGS="-k name" for a part of it
	.venv/bin/python -m pytest -n 2 --dist loadfile -rs $(ARGS)

plan: $(ENVIRONMENT) ## what the study costs; NODES=8 on a cluster, MACHINE=FILE on another machine
	@.venv/bin/python -m latents.report.plan --config "$(CONFIG)" $(if $(NODES),--nodes $(NODES)) \
	  $(if $(MACHINE),--machine "$(MACHINE)") \
	  $(if $(filter command,$(firstword $(origin CORES))),--cores $(CORES))

# The data are brought into place, checked, by the study's own rule. Nothing else should run on the machine.
bench: tex $(ENVIRONMENT) ## training speed here against an ordinary PyTorch loop; one to two hours
	$(SNAKEMAKE) --cores $(CORES) results/data/mnist.json results/data/cifar10.json results/machine.json
	.venv/bin/python -m latents.bench --final --config config/study.yaml --bench config/bench.yaml \
	  --machine results/machine.json --reference reference --out results/bench/cpu.json
	.venv/bin/python -m latents.report.figures.speed --config config/study.yaml --results results \
	  --out results/speed.pdf
	.venv/bin/python -m latents.report.speed --bench results/bench/cpu.json --out results/speed

# The record belongs to the project as reference/bench/<the GPU's name>.json.
DEVICE := cuda
gpu-check: $(ENVIRONMENT) ## check a GPU: agrees with a CPU, repeats its bytes, speed; six minutes
	$(SNAKEMAKE) --cores $(CORES) results/data/mnist.json results/data/cifar10.json
	.venv/bin/python -m latents.bench.gpu --config config/study.yaml --large config/large.yaml \
	  --small config/demo.yaml --reference reference --device $(DEVICE) --out results/gpu.json

study: tex $(ENVIRONMENT) ## the study, or CONFIG=config/large.yaml
	$(SNAKEMAKE) --cores $(CORES) --config "study=$(CONFIG)"

from-reference: tex $(ENVIRONMENT) ## figures and paper from the committed results, without training
	$(SNAKEMAKE) --cores $(CORES) --config results=reference

# Of the study; with CONFIG=config/demo.yaml of the demo, with RESULTS=reference of the committed run.
SETTINGS := $(if $(RESULTS),results=$(RESULTS),study=$(CONFIG))
FOLDER = $(if $(RESULTS),from-$(RESULTS)/,$(shell sed -n "s/^folder: *//; T; s/ *#.*//; \
	s/^[\"']//; s/[\"'] *$$//; p" "$(CONFIG)" 2> /dev/null))
REPORT = $(FOLDER)results/report.html
report: tex $(ENVIRONMENT) ## every figure and table of the finished study in one web page
	@$(if $(RESULTS),,$(call FINISHED,$(SETTINGS)))
	$(SNAKEMAKE) --cores $(CORES) --config "$(SETTINGS)" -- report_contents
	mkdir -p "$(FOLDER)results"
	$(SNAKEMAKE) --report "$(REPORT)" --config "$(SETTINGS)" -- report_contents
	@echo 'The report is $(REPORT).'

arxiv: tex $(ENVIRONMENT) ## the sources of the finished study's paper in one archive that TeX alone compiles
	@$(if $(RESULTS),,$(call FINISHED,$(SETTINGS)))
	$(SNAKEMAKE) --cores $(CORES) --config "$(SETTINGS)" -- arxiv
	@echo 'The archive is $(FOLDER)paper/arxiv.tar.gz.'

# A page of static files; NODE holds what web/package-lock.json names.
NODE := web/node_modules/.package-lock.json
PORT := 8000
explorer: $(ENVIRONMENT) $(NODE) ## a page for browsing the codes of the finished study
	@$(call FINISHED,study=$(CONFIG))
	$(SNAKEMAKE) --cores $(CORES) --config "study=$(CONFIG)" -- explorer
	@echo "The explorer is $(FOLDER)explorer; make explore, with the same CONFIG, serves it."

explore: ## serve the explorer on this machine alone, at PORT
	@[ -f "$(FOLDER)explorer/index.html" ] || $(call FAIL,the explorer is not built; make explorer first)
	@echo 'The explorer is at http://127.0.0.1:$(PORT)/ (Ctrl-C ends it).'
	@"$(PYTHON)" -m http.server "$(PORT)" --bind 127.0.0.1 --directory "$(FOLDER)explorer" > /dev/null 2>&1 || \
	$(call FAIL,port $(PORT) is not free; take another: make explore PORT=8080)

targets: $(ENVIRONMENT) ## compare the committed run with the study's targets
	@.venv/bin/python -m latents.report.targets --targets config/targets.yaml --summary reference/summary.csv

verify: own-results ## the committed study, run here and compared number by number
	$(SNAKEMAKE) --cores $(CORES) --config study=reference/study.yaml -- results/verify.json
	@.venv/bin/python -m latents.report.verify --verdict results/verify.json

QUICK := mnist/guided/seed1
verify-quick: own-results ## the same for one run, QUICK=mnist/guided/seed1; minutes
	$(SNAKEMAKE) --cores $(CORES) --config study=reference/study.yaml -- results/verify/$(QUICK).json
	@.venv/bin/python -m latents.report.verify --verdict results/verify/$(QUICK).json

# Refuses results of other settings, which `verify` would overwrite.
own-results: $(ENVIRONMENT)
	@.venv/bin/python -m latents.report.verify --config reference/study.yaml --results results

archive: $(ENVIRONMENT) ## copy the light results of finished runs of an interrupted study to archive/
	.venv/bin/python -m latents.report.archive --config "$(CONFIG)" --out archive

# What the finished study leaves in reference/, its configuration with the precision that was chosen, and then the
# pages that are written from it. Three records are copied by hand: results/fault_trials.json, results/gpu.json
# and results/bench/cpu.json. The benchmark counts the seconds of the study in reference/: it comes after this, and
# then figures, paper and this again.
COMMITTED := records train curves timing pictures tsne similarity yardsticks runs.csv summary.csv
reference: $(ENVIRONMENT) ## for maintainers: copy the finished study's light results to reference/
	@foreign=$$(grep -rL '"study": "study"' results/records || true); [ -z "$$foreign" ] || \
	{ echo "error: only the study goes to reference/, these are other records:" $$foreign >&2; exit 1; }
	@$(call FINISHED,study=config/study.yaml)
	rm -rf reference/figures && mkdir -p reference/figures
	chosen=$$(sed -n 's/^ "precision": "\(.*\)",*$$/\1/p' results/machine.json); \
	  sed "s/^precision: auto$$/precision: $$chosen/" config/study.yaml > reference/study.yaml
	cp config/sweeps.yaml reference/
	for part in $(COMMITTED); do rm -rf reference/$$part; cp -R results/$$part reference/$$part; done
	cp figures/*.png reference/figures/
	cp paper/paper.pdf paper/provenance.json reference/
	.venv/bin/python -m latents.report.gallery --config reference/study.yaml --reference reference \
	  --out figures/README.md --readme README.md --results-page docs/results.md

fault-trials: tex $(ENVIRONMENT) ## runs that are killed, stopped, doubled and left without space; an hour
	.venv/bin/python -m latents.faults --out results/fault_trials.json

slurm-test: tex $(ENVIRONMENT) ## the demo through a SLURM of one node; as root on Debian
	SNAKEMAKE=$(SNAKEMAKE) tests/slurm.sh

image-test: ## the demo in the image of the Dockerfile, built without Docker; as root on Debian
	tests/image.sh

lint: $(ENVIRONMENT) ## check the style of Python and workflow
	$(RUFF) check
	$(RUFF) format --check
	$(SNAKEMAKE) --lint

# The study's results, weights and data stay.
clean: ## remove the demo and what can be made again without training
	rm -rf demo from-reference explorer logs figures/*.pdf figures/*.png \
	  paper/build paper/generated paper/paper.pdf paper/provenance.json paper/arxiv.tar.gz

$(ENVIRONMENT): requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2> /dev/null || \
	$(call FAIL,Python 3.11 was not found; install it \
	(Debian 12: sudo apt-get install python3.11 python3.11-venv) or run make PYTHON=/path/to/python3.11 with it)
	@"$(PYTHON)" -c 'import ensurepip, venv' 2> /dev/null || \
	$(call FAIL,this Python cannot make environments; install its venv part \
	(Debian: sudo apt-get install python3.11-venv) and run again)
	"$(PYTHON)" -m venv .venv
	.venv/bin/python -m pip install --require-hashes -r requirements.lock
	.venv/bin/python -m pip install --no-deps --no-build-isolation -e .
	touch $@

$(NODE): web/package-lock.json
	@if command -v npm > /dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends npm; \
	else \
	  $(call FAIL,npm is missing; install Node.js with it \
	  (Debian: sudo apt-get install --no-install-recommends npm) and run again); \
	fi
	npm ci --prefix web --ignore-scripts --no-audit --no-fund
	touch $@

# TeX is installed only where that needs nobody's password: as root on Debian.
tex: ## install TeX, as root on Debian; elsewhere name what is missing
	@if command -v latexmk > /dev/null && command -v pdflatex > /dev/null \
	  && kpsewhich siunitx.sty cleveref.sty lmodern.sty > /dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(TEX); \
	else \
	  $(call FAIL,TeX is missing; install TeX Live with latexmk \
	  (Debian: sudo apt-get install --no-install-recommends $(TEX)) and run again); \
	fi
