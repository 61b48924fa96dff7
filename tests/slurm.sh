#!/usr/bin/env bash
# The demo on a real SLURM of one node, started here and stopped again; then compared with the same demo without SLURM.
#
#   make slurm-test        (Debian, as root: slurm-wlm and munge are installed where they are missing; some ten minutes)
#
# One training is cancelled on its way by the scheduler: it must be submitted again and go on from its checkpoint.
set -euo pipefail
cd "$(dirname "$0")/.."
SNAKEMAKE=${SNAKEMAKE:-.venv/bin/snakemake}
SNAKEMAKE=$(realpath -s "$SNAKEMAKE")
[ "$(id -u)" = 0 ] || { echo 'error: SLURM is started as root here; run this as root' >&2; exit 1; }
[ ! -e /etc/slurm/slurm.conf ] || grep -q '^ClusterName=latents$' /etc/slurm/slurm.conf ||
    { echo 'error: this machine has a SLURM of its own (/etc/slurm/slurm.conf), which this test would replace; run it elsewhere' >&2; exit 1; }
{ command -v slurmctld && command -v munged; } > /dev/null || { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends slurm-wlm munge; }

WORK=$(mktemp -d)
stop() {
    for daemon in slurmd slurmctld munged; do
        [ ! -f "$WORK/$daemon.pid" ] || kill "$(cat "$WORK/$daemon.pid")" 2> /dev/null || true
    done
    [ -z "${watcher:-}" ] || kill "$watcher" 2> /dev/null || true
    rm -rf "$WORK" /etc/slurm/slurm.conf /etc/slurm/gres.conf
}
trap stop EXIT

# -- one node on the loopback, without systemd, accounting or cgroups
HOST=$(hostname -s)
mkdir -p "$WORK"/{munge,ctld,d,log} /etc/slurm
chmod 700 "$WORK/munge"
head -c 1024 /dev/urandom > "$WORK/munge/key" && chmod 600 "$WORK/munge/key"
cat > /etc/slurm/slurm.conf << CONF
ClusterName=latents
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$WORK/munge/munge.sock
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$WORK/ctld
SlurmdSpoolDir=$WORK/d
SlurmctldPidFile=$WORK/slurmctld.pid
SlurmdPidFile=$WORK/slurmd.pid
SlurmctldLogFile=$WORK/log/slurmctld.log
SlurmdLogFile=$WORK/log/slurmd.log
SwitchType=switch/none
ReturnToService=2
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
MinJobAge=3600
KillWait=10
GresTypes=gpu
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=16000 Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=02:00:00 State=UP
CONF
echo "NodeName=$HOST Name=gpu File=/dev/null" > /etc/slurm/gres.conf
munged --key-file="$WORK/munge/key" --socket="$WORK/munge/munge.sock" --pid-file="$WORK/munged.pid" --log-file="$WORK/log/munged.log" --seed-file="$WORK/munge/seed" --force
slurmctld
slurmd
for _ in $(seq 30); do sinfo --noheader --format %t 2> /dev/null | grep -q idle && break; sleep 1; done
sinfo

# -- two copies of the checkout: one goes through SLURM, the other does not
for copy in slurm local; do
    mkdir "$WORK/$copy"
    git ls-files | grep -v '^tests/' | tar -c -T - | tar -x -C "$WORK/$copy"
done
run() { (cd "$WORK/$1" && shift && PYTHONPATH=$PWD/src "$SNAKEMAKE" --config study=config/demo.yaml "$@"); }

# -- cancel a training once it has a checkpoint: its retry must go on from there
(
    while sleep 0.2; do
        found=$(ls "$WORK"/slurm/demo/checkpoints/*/*/*.checkpoint 2> /dev/null | head -1) || true
        [ -n "$found" ] || continue
        training=${found#"$WORK"/slurm/demo/checkpoints/}
        job=$(squeue --noheader --states RUNNING --format '%i %k' | grep -F "$(echo "${training%/*}" | tr / ',')" | cut -d' ' -f1 | head -1) || true
        [ -n "$job" ] || job=$(squeue --noheader --states RUNNING --format '%i %k' | grep train | cut -d' ' -f1 | head -1) || true
        [ -n "$job" ] && scancel "$job" && echo "$job $training" > "$WORK/cancelled" && break
    done
) &
watcher=$!

started=$(date +%s)
run slurm --workflow-profile profiles/slurm --set-resources train:mem_mb=1500 evaluate:mem_mb=1500 tsne:mem_mb=1500 > "$WORK/slurm.log" 2>&1 || { tail -n 60 "$WORK/slurm.log"; exit 1; }
echo "through SLURM: $(($(date +%s) - started)) s, $(squeue --noheader --states all | wc -l) jobs"
started=$(date +%s)
run local --cores 2 > "$WORK/local.log" 2>&1 || { tail -n 60 "$WORK/local.log"; exit 1; }
echo "without: $(($(date +%s) - started)) s"

# -- what must hold
read -r job training < "$WORK/cancelled" || { echo 'error: no training was cancelled' >&2; exit 1; }
squeue --noheader --states CANCELLED --format %i | grep -qx "$job" || { echo "error: job $job was not cancelled" >&2; exit 1; }
grep -q 'Trying to restart job' "$WORK/slurm.log" || { echo 'error: the cancelled training was not submitted again' >&2; exit 1; }
first=$(head -1 "$WORK/slurm/demo/logs/train/${training%.checkpoint}.log")
case $first in *'epoch 1,'*) echo "error: the cancelled training began anew: $first" >&2; exit 1 ;; esac
echo "job $job (${training%.checkpoint}) was cancelled and went on: $first"
differ=$(cd "$WORK" && diff -rq slurm/demo local/demo | grep -v -e ': logs' -e 'demo/logs' -e 'results/timing' -e 'paper/build' || true)
[ -z "$differ" ] || { echo "error: not the same bytes as without SLURM:"; echo "$differ"; exit 1; } >&2
echo "the same bytes: $(cd "$WORK/slurm/demo" && find . -type f -not -path './logs/*' -not -path '*/timing/*' -not -path './paper/build/*' | wc -l) files"
