#!/usr/bin/env bash
# Starts a SLURM cluster on this machine, on loopback alone: controller, accounting, and three nodes of two GPUs each
# that are /dev/null. All of its state is one folder. down.sh ends it; nothing of another cluster is touched.
set -euo pipefail

root=${PISFT_SLURM:-/tmp/pisft-slurm} nodes=3 gpus=2 cpus=16 memory_mb=64000

skip() {
  echo "slurm-up: skipped: $1" >&2
  exit 77
}

[ "$(id -u)" = 0 ] || skip "needs root, to make namespaces and device files"
unshare --mount --uts true 2>/dev/null || skip "needs unshare, to give each node its own name"
if ! command -v slurmctld slurmd slurmdbd munged mariadbd >/dev/null; then
  command -v apt-get >/dev/null || skip "needs slurmctld, slurmd, slurmdbd, munged and mariadbd on the PATH"
  echo "installing slurm-wlm, munge, slurmdbd, mariadb-server" >&2
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq slurm-wlm munge slurmdbd mariadb-server; } \
    >/dev/null 2>&1 || skip "the Debian packages slurm-wlm munge slurmdbd mariadb-server cannot be installed"
fi
foreign=$(readlink -f /etc/slurm/slurm.conf || true)
[ ! -e /etc/slurm/slurm.conf ] || [ "$foreign" = "$root/etc/slurm.conf" ] || skip "this machine is in a cluster: /etc/slurm/slurm.conf"
if [ -e "$root/etc/slurm.conf" ] && SLURM_CONF=$root/etc/slurm.conf timeout 5 sinfo -h >/dev/null 2>&1; then
  echo "slurm-up: already up; make slurm-down ends it"
  exit 0
fi

"$(dirname "$0")/down.sh" >/dev/null
host=$(hostname)
mkdir -p "$root"/{etc,run,log,state,munge,db,dev,nodes}
chmod 700 "$root/munge"
chmod 755 "$root" "$root/run"
mknod "$root/dev/null" c 1 3 2>/dev/null || skip "needs mknod, to make device files that stand for GPUs"
for n in $(seq 0 $((gpus - 1))); do mknod "$root/dev/gpu$n" c 1 3 && chmod 666 "$root/dev/gpu$n"; done
(umask 077 && head -c 1024 /dev/urandom >"$root/munge/key")

cp /etc/hosts "$root/etc/hosts"
for n in $(seq $nodes); do echo "127.0.0.1 node$n" >>"$root/etc/hosts"; done

cat >"$root/etc/slurm.conf" <<END
ClusterName=pisft
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$root/run/munge.socket,cred_expire=5
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation=$root/state
SlurmdSpoolDir=$root/nodes/%n
SlurmctldPidFile=$root/run/slurmctld.pid
SlurmdPidFile=$root/run/slurmd.%n.pid
SlurmctldLogFile=$root/log/slurmctld.log
SlurmdLogFile=$root/log/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog=$root/etc/task_prolog.sh
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=512
MpiDefault=none
GresTypes=gpu
JobRequeue=1
ReturnToService=2
SlurmdTimeout=20
KillWait=5
UnkillableStepTimeout=60
MinJobAge=300
MessageTimeout=30
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=16819
AccountingStoragePass=$root/run/munge.socket
AccountingStorageEnforce=associations,qos
AccountingStorageTRES=gres/gpu
NodeName=node[1-$nodes] NodeHostname=node[1-$nodes] NodeAddr=127.0.0.1 Port=[17001-$((17000 + nodes))] CPUs=$cpus CoresPerSocket=$cpus RealMemory=$memory_mb Gres=gpu:$gpus State=UNKNOWN
PartitionName=train Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime=20
PartitionName=short Nodes=ALL MaxTime=5 PriorityTier=1 GraceTime=20
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
END
echo "AutoDetect=off
NodeName=node[1-$nodes] Name=gpu File=$root/dev/gpu[0-$((gpus - 1))]" >"$root/etc/gres.conf"
# These GPUs cannot compute. A test takes a node's file away to see what a node without a working GPU does.
cat >"$root/etc/task_prolog.sh" <<END
#!/bin/sh
cat "$root/nodes/\$SLURMD_NODENAME.env" 2>/dev/null
END
chmod 755 "$root/etc/task_prolog.sh"
(umask 077 && cat >"$root/etc/slurmdbd.conf") <<END
AuthType=auth/munge
AuthInfo=socket=$root/run/munge.socket
DbdHost=$host
DbdAddr=127.0.0.1
DbdPort=16819
SlurmUser=root
LogFile=$root/log/slurmdbd.log
PidFile=$root/run/slurmdbd.pid
CommunicationParameters=NoInAddrAny
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=13306
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
END

until_true() { # until_true <what> <command …>: for half a minute
  local what=$1
  shift
  for _ in $(seq 300); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  echo "slurm-up: $what did not come up; see $root/log" >&2
  exit 1
}
sql() { mariadb --no-defaults --socket "$root/run/db.sock" --execute "$1"; }
idle() { [ "$(sinfo --noheader --partition train --states idle --format %D)" = "$nodes" ]; }

export SLURM_CONF=$root/etc/slurm.conf
munged --key-file="$root/munge/key" --socket="$root/run/munge.socket" --pid-file="$root/run/munged.pid" \
  --log-file="$root/log/munged.log" --seed-file="$root/munge/seed"
mariadb-install-db --no-defaults --user=root --datadir="$root/db" --skip-test-db \
  --auth-root-authentication-method=socket >"$root/log/mariadb-install.log" 2>&1
setsid mariadbd --no-defaults --user=root --datadir="$root/db" --socket="$root/run/db.sock" \
  --pid-file="$root/run/mariadbd.pid" --bind-address=127.0.0.1 --port=13306 --innodb-buffer-pool-size=64M \
  --innodb-lock-wait-timeout=900 --innodb-flush-log-at-trx-commit=2 </dev/null >"$root/log/mariadbd.log" 2>&1 &
until_true mariadbd sql "select 1"
sql "create database slurm_acct_db;
  create user slurm@127.0.0.1 identified by 'slurm'; grant all on slurm_acct_db.* to slurm@127.0.0.1;
  create user slurm@localhost identified by 'slurm'; grant all on slurm_acct_db.* to slurm@localhost"
slurmdbd
until_true slurmdbd timeout 5 sacctmgr --noheader list cluster
sacctmgr --immediate --quiet add cluster pisft >/dev/null
sacctmgr --immediate --quiet add account robots >/dev/null
sacctmgr --immediate --quiet add user root account=robots >/dev/null
slurmctld -i
mkdir -p /etc/slurm
for file in slurm.conf gres.conf; do ln -sfn "$root/etc/$file" "/etc/slurm/$file"; done
for n in $(seq $nodes); do
  mkdir -p "$root/nodes/node$n"
  echo "export PISFT_DEVICE=cpu" >"$root/nodes/node$n.env"
  "$(dirname "$0")/node.sh" "$root" "node$n"
done
until_true "the nodes" idle
sinfo --Node --long --partition train
echo "slurm-up: up; snakemake … --profile slurm finds it; make slurm-down ends it"
