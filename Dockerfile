# The study in a container:
#
#   docker build -t latents .
#   docker run --gpus all -v "$PWD:/study" --user "$(id -u):$(id -g)" latents snakemake --cores 4
#
# torch's wheels bring their own CUDA libraries (cuBLAS, cuDNN, NCCL), so a plain Debian is enough: the host gives only the
# driver, through the NVIDIA container toolkit. Without a GPU leave --gpus out; `device: auto` then takes the CPU.

ARG BASE=debian:bookworm-slim@sha256:96e378d7e6531ac9a15ad505478fcc2e69f371b10f5cdf87857c4b8188404716
FROM ${BASE}

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates git make python3.11 python3.11-venv \
        texlive-latex-base texlive-latex-recommended texlive-fonts-recommended texlive-latex-extra texlive-science lmodern latexmk poppler-utils \
    && rm -rf /var/lib/apt/lists/*

# The two secrets are optional: a builder behind a mirror gives its pip.conf and certificates, and nothing of them stays.
COPY requirements.lock /tmp/requirements.lock
RUN --mount=type=secret,id=pipconf,target=/etc/pip.conf,required=false \
    --mount=type=secret,id=ca,target=/run/secrets/ca.crt,required=false \
    if [ -f /run/secrets/ca.crt ]; then export PIP_CERT=/run/secrets/ca.crt; fi \
    && python3.11 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock \
    && rm /tmp/requirements.lock

# The home can be written by any user, so that --user works: Snakemake and matplotlib keep their caches there.
RUN useradd --create-home --uid 1000 latents && chmod 1777 /home/latents && mkdir /study && chown latents /study
# Snakemake asks for the user's name, which an arbitrary --user does not have.
ENV HOME=/home/latents \
    USER=latents \
    LOGNAME=latents \
    PATH=/opt/venv/bin:$PATH \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

WORKDIR /study
COPY --chown=latents . .
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation -e . && chown -R latents src
USER latents
CMD ["snakemake", "--cores", "4"]
