#!/usr/bin/env bash
# The image of the Dockerfile, built and run where there is no Docker daemon: buildah builds it, on a Debian of the same release,
# made here, in place of the pinned base; what runs in it runs as an arbitrary user on a root that cannot be written.
#
#   make image-test        (Debian, as root: buildah and mmdebstrap are installed where they are missing; 10 GB and some 15 minutes)
#
# A machine whose pip has a configuration of its own (a mirror, local folders) lends it to the build as a secret.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo 'error: mounts are made here; run this as root' >&2; exit 1; }
# in a mount namespace of its own: nothing that is mounted here is seen outside, and all of it goes with this script
[ "${IMAGE_TEST_INSIDE:-}" ] || IMAGE_TEST_INSIDE=1 exec unshare --mount --propagation private "$0" "$@"
{ command -v buildah && command -v mmdebstrap; } > /dev/null ||
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends buildah crun mmdebstrap fuse-overlayfs uidmap; }

WORK=$(mktemp -d -p "${IMAGE_WORK:-/var/tmp}")
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=overlay CONTAINERS_STORAGE_CONF=$WORK/storage.conf
printf '[storage]\ndriver = "overlay"\nrunroot = "%s/run"\ngraphroot = "%s/graph"\n' "$WORK" "$WORK" > "$CONTAINERS_STORAGE_CONF"
clean() {
    umount -R "$WORK/root" 2> /dev/null || true
    buildah umount --all > /dev/null 2>&1 || true
    buildah rm --all > /dev/null 2>&1 || true
    umount "$WORK"/graph/overlay 2> /dev/null || true
    ! mountpoint -q "$WORK/root" || { echo "error: $WORK/root is still mounted; it is left as it is" >&2; return; }
    rm -rf --one-file-system "$WORK"
}
trap clean EXIT
step() { printf '\n== %s (%s s)\n' "$1" "$((SECONDS - since))"; since=$SECONDS; }
since=$SECONDS

# -- the stand-in for the base
mmdebstrap --quiet --variant=minbase --include=ca-certificates bookworm "$WORK/base.tar"
mkdir "$WORK/base" && mv "$WORK/base.tar" "$WORK/base"
printf 'FROM scratch\nADD base.tar /\n' > "$WORK/base/Dockerfile"
buildah bud --quiet -t localhost/base:bookworm "$WORK/base" > /dev/null
step 'base made'

# -- the image, from the Dockerfile as it is; the context is what git has, as in a clone
mkdir "$WORK/clone"
git ls-files | tar -c -T - | tar -x -C "$WORK/clone"
given=()
python3 -m pip config list 2> /dev/null | python3 -c '
import ast, sys
lines = [line.strip().partition("=") for line in sys.stdin if line.startswith(("global.", "install."))]
keep = [(name.partition(".")[2], ast.literal_eval(value)) for name, _, value in lines if name.partition(".")[2] not in ("cert", "constraint")]
print("[global]", *(f"{name} = {value}" for name, value in keep), sep="\n")' > "$WORK/pip.conf" || true
for folder in $(grep -oE '(file://)?/[^ ]+' "$WORK/pip.conf" | sed 's|^file://||' | sort -u); do
    folder=${folder%/simple} # an index links to files beside it
    [ ! -d "$folder" ] || given+=(--volume "$folder:$folder:ro")
done
[ ! -f "${SSL_CERT_FILE:-}" ] || given+=(--secret "id=ca,src=$SSL_CERT_FILE")
buildah bud --quiet --network=host --build-arg BASE=localhost/base:bookworm --secret "id=pipconf,src=$WORK/pip.conf" "${given[@]}" \
    --layers -t localhost/latents "$WORK/clone" > "$WORK/build.log" 2>&1 || { tail -n 60 "$WORK/build.log"; exit 1; }
step 'image built'
buildah inspect --type image localhost/latents | python3 -c '
import json, sys
image = json.load(sys.stdin)["OCIv1"]
print("user", image["config"]["User"], "| entry", image["config"]["Entrypoint"][:2], "| command", image["config"]["Cmd"], "| labels", len(image["config"]["Labels"]))'
# a layer is a folder of the overlay: its size, and the step that made it
buildah images --format '{{.Size}}' localhost/latents
for layer in "$WORK"/graph/overlay/*/diff; do printf '%6s MB  %s\n' "$(du -sm "$layer" | cut -f1)" "$(find "$layer" -mindepth 1 -maxdepth 2 -printf '%P ' | cut -c1-90)"; done | sort -rn

# -- what runs in it: its root mounted read-only, with /tmp, the home and the checkout writable, as a user that the image does not know
container=$(buildah from --pull-never localhost/latents)
mkdir "$WORK/root"
mount --bind "$(buildah mount "$container")" "$WORK/root"
mount -o remount,ro,bind "$WORK/root"
for place in tmp home/latents; do mount -t tmpfs -o mode=1777 tmpfs "$WORK/root/$place"; done
mount -t proc proc "$WORK/root/proc"
mount --rbind /dev "$WORK/root/dev"
mount -t tmpfs -o size=64m,mode=1777 tmpfs "$WORK/root/dev/shm" # as small as Docker's
chown -R 4321:4321 "$WORK/clone"
mount --bind "$WORK/clone" "$WORK/root/study"
inside() {
    env -i HOME=/home/latents USER=latents LOGNAME=latents LANG=C.UTF-8 SOURCE_DATE_EPOCH=1767225600 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:/usr/bin:/bin \
        unshare --net "$(PATH=$PATH:/usr/sbin command -v chroot)" --userspec=4321:4321 "$WORK/root" /bin/bash -c "cd /study && $1"
}
inside 'touch /opt/venv/x 2> /dev/null && { echo "error: the root can be written" >&2; exit 1; }; id -u; python --version; pdflatex --version | head -1; snakemake --version;
    python -c "import torch, torchvision; print(torch.__version__, torchvision.__version__, torch.version.cuda)"; pip list --format=freeze'
step 'versions; no network from here on'
inside 'snakemake --cores 2 --config study=config/demo.yaml > /tmp/demo.log 2>&1 || { tail -n 40 /tmp/demo.log; exit 1; }; pdfinfo demo/paper/paper.pdf | grep Pages'
step 'the demo, to its PDF'
inside 'snakemake --cores 1 from-reference/figures/tsne_cifar10.pdf --config results=reference > /tmp/figure.log 2>&1 || { tail -n 40 /tmp/figure.log; exit 1; }; ls -l from-reference/figures'
step 'one figure from reference/'
