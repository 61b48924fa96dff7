# The commands of the README. Each sets up what it needs by itself: the environment from the lock, once, and TeX.
#
#   make demo    the whole chain on the demo's data, in minutes     make test    the whole suite (ARGS="-k name" for a part)
#   make plan    what the study costs                               make study   the study
#   make bench   how fast training is here, beside the ordinary loop
#   make bars    what the study set itself to reach, beside what the committed run reached
#   make verify  your run beside the committed one, number by number; make verify-quick does it for one cell, in minutes

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test plan bench study from-reference reference keep bars verify verify-quick own-results trials slurm-test image-test lint clean tex

PYTHON := $(shell command -v python3.11 || command -v python3)
CONFIG := config/study.yaml
CORES := 2
ENVIRONMENT := .venv/made-from-lock
SNAKEMAKE := .venv/bin/snakemake
TEX := texlive-latex-base texlive-latex-recommended texlive-fonts-recommended texlive-latex-extra texlive-science lmodern latexmk poppler-utils

help:
	@sed -n 's/^#  *make/make/p' Makefile

demo: tex $(ENVIRONMENT)
	$(SNAKEMAKE) --cores 2 --config study=config/demo.yaml
	@printf '\nThe demo is done. Nothing in it is a result: its data are stand-ins.\n'
	@printf '  paper    %s\n  figures  %s\n  summary  %s\n' demo/paper/paper.pdf demo/figures/ demo/results/summary.csv

test: tex $(ENVIRONMENT)
	.venv/bin/python -m pytest -n 2 --dist loadfile -rs $(ARGS)

plan: $(ENVIRONMENT)
	@.venv/bin/python -m latents.report.plan --config $(CONFIG) $(if $(NODES),--nodes $(NODES))

# The data are brought into place, checked, by the study's own rule. Nothing else should run on the machine.
bench: tex $(ENVIRONMENT)
	$(SNAKEMAKE) --cores $(CORES) results/data/mnist.json results/data/cifar10.json
	.venv/bin/python -m latents.bench --final --config config/study.yaml --bench config/bench.yaml --reference reference --out results/bench.json
	.venv/bin/python -m latents.report.figures.speed --config config/study.yaml --results results --out results/speed.pdf
	.venv/bin/python -m latents.report.speed --bench results/bench.json --out results/speed

study: tex $(ENVIRONMENT)
	$(SNAKEMAKE) --cores $(CORES) --config study=$(CONFIG)

from-reference: tex $(ENVIRONMENT)
	$(SNAKEMAKE) --cores $(CORES) --config results=reference

# For maintainers: what the finished study leaves in reference/, then the gallery and the README's table from it. Trials are copied to
# reference/trials.json by hand. The benchmark counts a run's seconds: after it (make study reference bench) it is copied to reference/bench.json,
# and figures, paper and reference are made again.
LIGHT := records train curves timing pictures tsne similarity runs.csv summary.csv
reference: $(ENVIRONMENT)
	@foreign=$$(grep -rL '"study": "study"' results/records || true); \
	if [ -n "$$foreign" ]; then echo "error: only the study goes to reference/, these are other records:" $$foreign >&2; exit 1; fi
	@$(SNAKEMAKE) --dry-run 2>&1 | grep 'Nothing to be done' > /dev/null || \
	{ echo 'error: the study has not run to its end here; make study first' >&2; exit 1; }
	mkdir -p reference/figures
	cp config/study.yaml config/sweeps.yaml reference/
	for part in $(LIGHT); do rm -rf reference/$$part; cp -R results/$$part reference/$$part; done
	cp figures/*.png reference/figures/
	cp paper/paper.pdf reference/paper.pdf
	.venv/bin/python -m latents.report.gallery --config reference/study.yaml --reference reference --out figures/README.md --readme README.md

# What the study set itself to reach, beside what the committed run reached.
bars: $(ENVIRONMENT)
	@.venv/bin/python -m latents.report.bars --bars config/bars.yaml --summary reference/summary.csv

# The committed run's study, run here (or finished) and compared; the exit status says whether it agrees.
verify: own-results
	$(SNAKEMAKE) --cores $(CORES) --config study=reference/study.yaml -- results/verify.json
	@.venv/bin/python -m latents.report.verify --verdict results/verify.json

# before anything is overwritten
own-results: $(ENVIRONMENT)
	@.venv/bin/python -m latents.report.verify --config reference/study.yaml --results results

QUICK := mnist/guided/seed1
verify-quick: own-results
	$(SNAKEMAKE) --cores $(CORES) --config study=reference/study.yaml -- results/verify/$(QUICK).json
	@.venv/bin/python -m latents.report.verify --verdict results/verify/$(QUICK).json

# Between sittings: the light results of finished cells go to kept/, from where the workflow takes them.
keep: $(ENVIRONMENT)
	.venv/bin/python -m latents.report.kept --config $(CONFIG) --out kept

# The demo through a real SLURM of one node, and in the image of the Dockerfile, built without a Docker daemon: both as root.
slurm-test: tex $(ENVIRONMENT)
	SNAKEMAKE=$(SNAKEMAKE) tests/slurm.sh

image-test:
	tests/image.sh

# Runs that are killed, stopped, doubled and left without room, compared byte by byte with an undisturbed one: an hour.
trials: tex $(ENVIRONMENT)
	.venv/bin/python -m latents.trials --out results/trials.json

lint: $(ENVIRONMENT)
	$(SNAKEMAKE) --lint

# The demo, and what can be made again without training; the study's results, weights and data stay.
clean:
	rm -rf demo from-reference logs paper/build paper/generated paper/paper.pdf figures/*.pdf figures/*.png

$(ENVIRONMENT): requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2> /dev/null || \
	{ echo 'error: Python 3.11 was not found; install it (Debian 12: sudo apt-get install python3.11 python3.11-venv) or run make PYTHON=/path/to/python3.11 with it' >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2> /dev/null || \
	{ echo 'error: this Python cannot make environments; install its venv part (Debian: sudo apt-get install python3.11-venv), then run again' >&2; exit 1; }
	"$(PYTHON)" -m venv .venv
	.venv/bin/python -m pip install --require-hashes -r requirements.lock
	.venv/bin/python -m pip install --no-deps --no-build-isolation -e .
	touch $@

# TeX is installed only where that needs nobody's password: as root on Debian.
tex:
	@if command -v latexmk > /dev/null && command -v pdflatex > /dev/null && kpsewhich siunitx.sty cleveref.sty lmodern.sty > /dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(TEX); \
	else \
	  echo 'error: TeX is missing; install TeX Live with latexmk (Debian: sudo apt-get install --no-install-recommends $(TEX)), then run again' >&2; exit 1; \
	fi
