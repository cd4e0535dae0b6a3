#!/usr/bin/env bash
# start-slurm.sh: a real Slurm cluster (munged, mariadbd, slurmdbd, slurmctld, N slurmd) on one machine,
# without systemd. Idempotent: starts only what is not running. Ended by stop-slurm.sh.
#   start-slurm.sh                 install what is missing, start, wait until every node is idle
#   start-slurm.sh node-down NODE  power a node off (its pid namespace is killed: slurmd, stepds, tasks)
#   start-slurm.sh node-up NODE    power it on again
#   start-slurm.sh slurmd-stop NODE | slurmd-start NODE     only the daemon, tasks go on
#   $SLURM_CI_ROOT/bin/slurm-exec CMD…   runs CMD on the cluster's login host (sbatch, squeue, pytest …)
# Settings (environment): SLURM_CI_ROOT, _NODES, _CPUS, _MEM, _GPUS, _NET=netns|loopback,
#   _ACCT=slurmdbd|none, _KEEP=1 (keep the job state and the accounting data of the last start)
set -euo pipefail
R=${SLURM_CI_ROOT:-/tmp/overnight-slurm}
NODES=${SLURM_CI_NODES:-3} CPUS=${SLURM_CI_CPUS:-4} MEM=${SLURM_CI_MEM:-16000} GPUS=${SLURM_CI_GPUS:-2}
NET=${SLURM_CI_NET:-netns} ACCT=${SLURM_CI_ACCT:-slurmdbd} KEEP=${SLURM_CI_KEEP:-0}
SUBNET=${SLURM_CI_SUBNET:-10.77.0} SLURMD_TIMEOUT=${SLURM_CI_SLURMD_TIMEOUT:-10}
DB=${SLURM_CI_DB:-/dev/shm/slurm-ci.$(cksum <<< "$R" | cut -d' ' -f1)}   # the accounting database: on tmpfs it starts faster
export SLURM_CONF=$R/etc/slurm.conf
umask 022
t0=$(date +%s.%N)
say() { printf '[%6.2fs] %s\n' "$(echo "$(date +%s.%N) $t0" | awk '{print $1-$2}')" "$*"; }
die() { echo "start-slurm: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "needs root"
[ ${#R} -le 60 ] || die "SLURM_CI_ROOT is too long for unix sockets: $R"

# ---- processes: NAME.id holds "pid starttime"; a zombie or another process with that pid counts as dead
starttime() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1!="Z"{print $20}'; }
track() { echo "$2 $(starttime "$2")" > "$R/run/$1.id"; }
pidof_() { local p s; { read -r p s < "$R/run/$1.id"; } 2>/dev/null || return 1
  [ -n "${s:-}" ] && [ "$(starttime "$p")" = "$s" ] && echo "$p"; }
waitfor() { local n=$1 i; shift; for ((i = 0; i < n * 20; i++)); do "$@" >/dev/null 2>&1 && return 0; sleep 0.05; done; return 1; }
login() { if [ "$NET" = netns ]; then nsenter -t "$(pidof_ login)" -n -u -m -- "$@"; else "$@"; fi; }
nodeinit() { local p; p=$(pidof_ "$1") || return 1; tr -d ' ' < "/proc/$p/task/$p/children"; }
innode() { local n=$1 c; shift; c=$(nodeinit "$n"); [ -n "$c" ] || die "$n is off"
  local f="-m -u -i -p"; [ "$NET" = netns ] && f="$f -n"; nsenter -t "$c" $f -- "$@"; }
node_ip() { if [ "$NET" = netns ]; then echo "$SUBNET.$((10 + ${1#node}))"; else echo "127.0.0.$((10 + ${1#node}))"; fi; }
node_port() { if [ "$NET" = netns ]; then echo 16818; else echo $((16820 + ${1#node})); fi; }

# ---- install
install_pkgs() {
  local want="munge slurmctld slurmd slurm-client iproute2 util-linux procps" miss=()
  [ "$ACCT" = slurmdbd ] && want="$want slurmdbd mariadb-server-core mariadb-client-core"
  for p in $want; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || miss+=("$p")
  done
  [ ${#miss[@]} -gt 0 ] || return 0
  say "installing: ${miss[*]}"
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  apt-get -o DPkg::Lock::Timeout=300 -qq update
  apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends "${miss[@]}" > "$R/log/apt.log" 2>&1 ||
    { tail -n 20 "$R/log/apt.log"; die "apt-get install failed"; }
  say "installed"
}

# ---- configuration
write_conf() {
  local ctlhost ctladdr proctrack i n
  if [ "$NET" = netns ]; then ctlhost=login ctladdr=$SUBNET.1; else ctlhost=$(hostname -s) ctladdr=127.0.0.1; fi
  if [ -w /sys/fs/cgroup/freezer/tasks ]; then proctrack=cgroup; else proctrack=linuxproc; fi
  cat > "$R/etc/cgroup.conf" <<E
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
CgroupAutomount=no
ConstrainCores=no
ConstrainRAMSpace=no
ConstrainDevices=no
E
  rm -f "$R"/dev/nvidia*
  for ((i = 0; i < GPUS; i++)); do mknod "$R/dev/nvidia$i" c 1 3 2>/dev/null || : > "$R/dev/nvidia$i"; done
  if [ "$GPUS" -gt 0 ]; then echo "Name=gpu Type=h200 File=$R/dev/nvidia[0-$((GPUS - 1))]"; fi > "$R/etc/gres.conf"
  {
    cat <<E
ClusterName=ci
SlurmctldHost=$ctlhost($ctladdr)
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$R/run/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$R/state
SlurmdSpoolDir=$R/spool/%n
SlurmctldPidFile=$R/run/slurmctld.pid
SlurmdPidFile=$R/run/slurmd.%n.pid
SlurmctldLogFile=$R/log/slurmctld.log
SlurmdLogFile=$R/log/slurmd.%n.log
ProctrackType=proctrack/$proctrack
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=2000
GresTypes=gpu
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
MaxArraySize=4
ReturnToService=1
KillWait=5
InactiveLimit=0
MinJobAge=300
MessageTimeout=10
SlurmctldTimeout=10
SlurmdTimeout=$SLURMD_TIMEOUT
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill
E
    if [ "$ACCT" = slurmdbd ]; then cat <<E
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=16819
AccountingStoragePass=$R/run/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment,job_script
E
    else cat <<E
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$R/log/jobcomp.txt
E
    fi
    for ((i = 1; i <= NODES; i++)); do n=node$i
      echo "NodeName=$n NodeHostname=$n NodeAddr=$(node_ip $n) Port=$(node_port $n) CPUs=$CPUS RealMemory=$MEM$([ "$GPUS" -gt 0 ] && echo " Gres=gpu:h200:$GPUS") State=UNKNOWN"
    done
    cat <<E
PartitionName=gpu Nodes=ALL Default=YES DefaultTime=10 MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=high Nodes=ALL DefaultTime=10 MaxTime=INFINITE State=UP PriorityTier=10
E
  } > "$R/etc/slurm.conf"
  cat > "$R/etc/slurmdbd.conf" <<E
AuthType=auth/munge
AuthInfo=socket=$R/run/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=16819
SlurmUser=root
PidFile=$R/run/slurmdbd.pid
LogFile=$R/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=16306
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
CommitDelay=1
E
  chmod 600 "$R/etc/slurmdbd.conf"
  cat > "$R/etc/my.cnf" <<E
[mariadbd]
user=root
datadir=$DB
socket=$R/run/mysqld.sock
pid-file=$R/run/mariadbd.pid
log-error=$R/log/mariadbd.log
bind-address=127.0.0.1
port=16306
skip-name-resolve
skip-log-bin
performance_schema=OFF
innodb_buffer_pool_size=64M
innodb_log_file_size=16M
innodb_flush_log_at_trx_commit=0
innodb_lock_wait_timeout=900
max_allowed_packet=16M
E
  { echo "127.0.0.1 localhost"; [ "$NET" = netns ] && echo "$ctladdr $ctlhost"
    for ((i = 1; i <= NODES; i++)); do echo "$(node_ip node$i) node$i"; done; } > "$R/etc/hosts"
  if [ "$NET" = netns ]; then
    cat > "$R/bin/slurm-exec" <<E
#!/bin/sh
read -r pid _ < $R/run/login.id || exit 1
exec nsenter -t "\$pid" -n -u -m --wd="\$PWD" -- env SLURM_CONF=$R/etc/slurm.conf PATH="$R/bin:\$PATH" "\$@"
E
  else
    printf '#!/bin/sh\nexec env SLURM_CONF=%s PATH="%s:$PATH" "$@"\n' "$R/etc/slurm.conf" "$R/bin" > "$R/bin/slurm-exec"
  fi
  chmod 755 "$R/bin/slurm-exec"
  echo "$DB" > "$R/etc/db.path"
}

# ---- namespaces
start_login() {
  [ "$NET" = netns ] || return 0
  pidof_ login >/dev/null && return 0
  rm -f "$R/run/login.ready"
  setsid unshare --net --uts --mount --propagation private bash -c "
    set -e; hostname login; mount --bind $R/etc/hosts /etc/hosts
    ip link set lo up; ip link add br0 type bridge; ip addr add $SUBNET.1/24 dev br0; ip link set br0 up
    touch $R/run/login.ready; exec sleep infinity" </dev/null >"$R/log/login.log" 2>&1 9>&- &
  track login $!
  waitfor 10 test -e "$R/run/login.ready" || { cat "$R/log/login.log"; die "no login namespace"; }
}
start_node() { # NODE: the "machine": pid, mount, uts, ipc (and net) namespaces, killed as one
  local n=$1 c v=v${1#node} net=; pidof_ "$n" >/dev/null && return 0
  [ "$NET" = netns ] && net=--net
  mkdir -p "$R/nodes/$n/ray" "$R/spool/$n" /tmp/ray; rm -f "$R/nodes/$n/ready"
  setsid unshare $net --uts --ipc --mount --propagation private --pid --fork --kill-child --mount-proc bash -c "
    hostname $n; mount --bind $R/etc/hosts /etc/hosts; mount --bind $R/nodes/$n/ray /tmp/ray
    mount -t tmpfs -o size=2g,mode=1777 tmpfs /dev/shm; [ -z '$net' ] || ip link set lo up
    touch $R/nodes/$n/ready; trap 'exit 0' TERM; while :; do sleep 1000 & wait -n; done" \
    </dev/null >"$R/log/init.$n.log" 2>&1 9>&- &
  track "$n" $!
  waitfor 10 test -e "$R/nodes/$n/ready" || { cat "$R/log/init.$n.log"; die "$n did not start"; }
  if [ "$NET" = netns ]; then
    c=$(nodeinit "$n")
    nsenter -t "$(pidof_ login)" -n ip link del "$v" 2>/dev/null || true
    nsenter -t "$(pidof_ login)" -n ip link add "$v" type veth peer name eth0 netns "$c"
    nsenter -t "$(pidof_ login)" -n ip link set "$v" master br0 up
    nsenter -t "$c" -n sh -c "ip addr add $(node_ip "$n")/24 dev eth0 && ip link set eth0 up"
  fi
}
start_slurmd() { local n=$1 p
  p=$(innode "$n" cat "$R/run/slurmd.$n.pid" 2>/dev/null || true)
  if [ -n "$p" ] && [ "$(innode "$n" cat "/proc/$p/comm" 2>/dev/null)" = slurmd ]; then return 0; fi
  innode "$n" slurmd -N "$n" 9>&-; }
stop_slurmd() { innode "$1" sh -c "kill \$(cat $R/run/slurmd.$1.pid)"; }

# ---- daemons
start_munged() {
  pidof_ munged >/dev/null && return 0
  mkdir -p "$R/munge"; chmod 700 "$R/munge"
  [ -s "$R/munge/munge.key" ] || { head -c 1024 /dev/urandom > "$R/munge/munge.key"; chmod 600 "$R/munge/munge.key"; }
  rm -f "$R/run/munge.socket"*
  login munged --num-threads=4 --key-file="$R/munge/munge.key" --socket="$R/run/munge.socket" \
    --pid-file="$R/run/munged.pid" --log-file="$R/munge/munged.log" --seed-file="$R/munge/munged.seed" 9>&-
  waitfor 10 munge -n -S "$R/run/munge.socket" || die "munged does not answer"
  track munged "$(cat "$R/run/munged.pid")"
}
sql() { mariadb --no-defaults -S "$R/run/mysqld.sock" "$@"; }
start_db() {
  [ "$ACCT" = slurmdbd ] || return 0
  if ! pidof_ mariadbd >/dev/null; then
    mkdir -p "$DB"; [ -d "$DB/mysql" ] || mariadb-install-db --defaults-file="$R/etc/my.cnf" \
      --auth-root-authentication-method=normal --skip-test-db > "$R/log/install-db.log" 2>&1 || die "mariadb-install-db failed: $R/log/install-db.log"
    rm -f "$R/run/mariadbd.pid" "$R/run/mysqld.sock"
    login setsid mariadbd --defaults-file="$R/etc/my.cnf" </dev/null >/dev/null 2>&1 9>&- &
    waitfor 20 sql -e 'select 1' || { tail "$R/log/mariadbd.log"; die "mariadbd does not answer"; }
    track mariadbd "$(cat "$R/run/mariadbd.pid")"
    sql -e "create database if not exists slurm_acct_db; create user if not exists slurm@'%' identified by 'slurm'; grant all on slurm_acct_db.* to slurm@'%';"
  fi
  if ! pidof_ slurmdbd >/dev/null; then
    rm -f "$R/run/slurmdbd.pid"; login slurmdbd 9>&-
    waitfor 20 login bash -c '</dev/tcp/127.0.0.1/16819' || { tail "$R/log/slurmdbd.log"; die "slurmdbd does not listen"; }
    waitfor 20 login sacctmgr -n show cluster || { tail "$R/log/slurmdbd.log"; die "slurmdbd does not answer"; }
    track slurmdbd "$(cat "$R/run/slurmdbd.pid")"
    [ -n "$(login sacctmgr -nP show cluster ci format=cluster)" ] || login sacctmgr -i add cluster ci > /dev/null
  fi
}
start_ctld() {
  pidof_ slurmctld >/dev/null && return 0
  rm -f "$R/run/slurmctld.pid"; login slurmctld 9>&-
  waitfor 20 sh -c "test -s $R/run/slurmctld.pid" || { tail "$R/log/slurmctld.log"; die "slurmctld did not start"; }
  track slurmctld "$(cat "$R/run/slurmctld.pid")"
  waitfor 20 login scontrol ping || { tail "$R/log/slurmctld.log"; die "slurmctld does not answer"; }
}
nodes_ready() { [ "$(login sinfo -h -p gpu -t idle,mixed,allocated -o %D | awk '{s+=$1}END{print s+0}')" = "$NODES" ]; }

mkdir -p "$R"/{etc,run,log,dev,bin,state,spool,nodes}
exec 9> "$R/lock"; flock -w 120 9 || die "another start-slurm.sh holds $R/lock"
case "${1:-up}" in
  up) ;;
  node-up) start_node "$2"; start_slurmd "$2"; exit 0 ;;
  node-down) p=$(pidof_ "$2") || die "$2 is off"; kill -9 "$p"; waitfor 10 sh -c "! test -e /proc/$p || grep -q '^State:.Z' /proc/$p/status"; rm -f "$R/run/$2.id"; exit 0 ;;
  slurmd-stop) stop_slurmd "$2"; exit 0 ;;
  slurmd-start) start_slurmd "$2"; exit 0 ;;
  exec) n=$2; shift 2; exec 9>&-; innode "$n" "$@"; exit $? ;;
  *) die "unknown command: $1" ;;
esac
install_pkgs
any=; for x in "$R"/run/*.id; do x=${x##*/}; pidof_ "${x%.id}" >/dev/null && any=1; done
if [ -z "$any" ]; then # nothing runs: a fresh cluster, else only what is missing is started
  if [ "$KEEP" != 1 ]; then rm -rf "$R"/{state,spool,nodes} "$DB"; rm -f "$R"/log/*.log; mkdir -p "$R"/{state,spool,nodes}; fi
  rm -f "$R"/run/*; chmod 700 "$R/state"; write_conf
fi
start_login; start_munged; say "munged up"
start_db; say "accounting up ($ACCT)"
start_ctld; say "slurmctld up"
for ((k = 1; k <= NODES; k++)); do start_node "node$k"; start_slurmd "node$k"; done
say "slurmd started on $NODES nodes"
waitfor 30 nodes_ready || { login sinfo -N -l; tail -n 20 "$R/log/slurmctld.log"; die "the nodes did not become idle"; }
say "ready: $(login sinfo -h -p gpu -o '%N %T')"
echo "run commands on the login host with $R/bin/slurm-exec, for example: $R/bin/slurm-exec sinfo"
