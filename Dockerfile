# The study in a container:
#
#   docker build -t latents:0.1.0 .
#   docker run --gpus all -v "$PWD:/study" --user "$(id -u):$(id -g)" latents:0.1.0 snakemake --cores 4
#
# torch's wheels bring their own CUDA 13.0 libraries (cuBLAS, cuDNN, NCCL), pinned by hash in the lock like everything else, so a
# plain Debian is enough: the host gives only the driver (580 or newer), through the NVIDIA container toolkit. A CUDA base would
# hold a second copy of 3 GB, and NVIDIA deletes old tags. Without a GPU leave --gpus out: the study then runs on the CPU.

ARG BASE=debian:bookworm-slim@sha256:96e378d7e6531ac9a15ad505478fcc2e69f371b10f5cdf87857c4b8188404716
FROM ${BASE}

# The base image names in a comment the snapshot of Debian that it was made from; packages are taken from there, so that the same
# base gives the same packages on any day. (A base without that line takes what Debian has today.)
# hadolint ignore=DL3008
RUN list=/etc/apt/sources.list.d/debian.sources \
    && if [ -f "$list" ]; then sed -i -E '/^# +http/{N;s/^# +(\S+)\nURIs: .*/URIs: \1/}' "$list"; fi \
    && apt-get -o Acquire::Check-Valid-Until=false update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates git make python3.11 python3.11-venv rsync \
        texlive-latex-base texlive-latex-recommended texlive-fonts-recommended texlive-latex-extra texlive-science lmodern latexmk poppler-utils \
    && rm -rf /var/lib/apt/lists/* /var/log/*.log /var/log/apt /var/cache/ldconfig /var/cache/debconf/*-old

# The two secrets are optional: a builder behind a mirror gives its pip.conf and certificates, and nothing of them stays.
RUN --mount=type=bind,source=requirements.lock,target=/tmp/requirements.lock \
    --mount=type=secret,id=pipconf,target=/etc/pip.conf,required=false \
    --mount=type=secret,id=ca,target=/run/secrets/ca.crt,required=false \
    if [ -f /run/secrets/ca.crt ]; then export PIP_CERT=/run/secrets/ca.crt; fi \
    && python3.11 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock

# Home, caches and outputs can be written by any user, so that --user works; Snakemake asks for a name, which such a user lacks.
ARG SOURCE_DATE_EPOCH=1767225600
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} \
    HOME=/home/latents \
    USER=latents \
    LOGNAME=latents \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/venv/bin:$PATH \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_REQUIRE_CUDA="cuda>=13.0"
LABEL org.opencontainers.image.title="Latent Spaces, Three Ways" \
      org.opencontainers.image.description="What is in a 128-number code of an image? The study, from the data to the paper" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="debian:bookworm-slim"
WORKDIR /study
COPY . .
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation -e . \
    && useradd --create-home --uid 1000 latents \
    && chmod -R a+rwX /study /home/latents
USER 1000
ENTRYPOINT ["/bin/sh", "-c", "[ -e /dev/nvidiactl ] || [ -e /dev/dxg ] || echo 'No GPU is visible here: what runs, runs on the CPU (docker run --gpus all gives it one).' >&2; exec \"$@\"", "latents"]
CMD ["snakemake", "--cores", "4"]
