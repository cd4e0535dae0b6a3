#!/usr/bin/env bash
# stop-slurm.sh: ends exactly the processes that start-slurm.sh recorded in $SLURM_CI_ROOT/run/*.id
set -uo pipefail
R=${SLURM_CI_ROOT:-/tmp/overnight-slurm}
starttime() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1!="Z"{print $20}'; }
alive() { [ -n "$2" ] && [ "$(starttime "$1")" = "$2" ]; }
end() { # FILE SIGNAL
  local p s i; { read -r p s < "$1"; } 2>/dev/null || return 0
  if alive "$p" "${s:-}"; then
    kill -"$2" "$p"
    for ((i = 0; i < 200; i++)); do alive "$p" "$s" || break; sleep 0.05; done
    if alive "$p" "$s"; then kill -KILL "$p"; sleep 0.2; fi
    echo "ended $(basename "$1" .id) ($p)"
  fi
  rm -f "$1"
}
end "$R/run/slurmctld.id" TERM
for f in "$R"/run/node*.id; do [ -e "$f" ] && end "$f" KILL; done   # the node's pid namespace dies with it
end "$R/run/slurmdbd.id" TERM
end "$R/run/mariadbd.id" TERM
end "$R/run/munged.id" TERM
end "$R/run/login.id" TERM
rm -f "$R"/run/*.pid "$R"/run/*.sock "$R"/run/munge.socket* "$R"/run/login.ready
for d in /sys/fs/cgroup/freezer/slurm_node*; do [ -d "$d" ] && find "$d" -depth -type d -exec rmdir {} + 2>/dev/null; done
if [ "${SLURM_CI_KEEP:-0}" != 1 ] && [ -s "$R/etc/db.path" ]; then
  d=$(cat "$R/etc/db.path"); case $d in /dev/shm/slurm-ci.*) rm -rf "$d" ;; esac
fi
exit 0
