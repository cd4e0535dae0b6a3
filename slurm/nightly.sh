#!/bin/bash
# Tonight's run, from cron or scrontab. Last night's is finished first, if it is not. A second start of a night does
# nothing twice. The exit code is that of tonight's run; a line about each run goes to `notify`.
# Each night has a folder of its own, but all share the store of answers (store.dir, by default runs/store), so that only
# rows that no earlier night asked are computed; a night without any asks Slurm for nothing and is finished right here.
# usage:  slurm/nightly.sh cluster=slurm job=judge data=arena data.path=FILE engine=… notify=mail notify.to=ADDRESS
# NIGHT: the day on which the night began (a night ends at noon). RUNS: the folder of this job's nights.
set -u
cd "$(dirname "$0")/.." || exit 2
PYTHON=${PYTHON:-.venv/bin/python}
RUNS=${RUNS:-runs/nightly}
NIGHT=${NIGHT:-$(date -d '12 hours ago' +%F)}

mkdir -p "$RUNS" || exit 2
exec 9>> "$RUNS/lock"
flock -n 9 || { echo "nightly: a start of before is still at work in $RUNS"; exit 0; }

finished() { [ "$(cat "$RUNS/$1.code" 2> /dev/null)" = 0 ]; } # NIGHT

words=() notify=() # who is told is not written down: it may be a secret
for word in "$@"; do
  case $word in notify=* | notify.*) notify+=("$word") ;; *) words+=("$word") ;; esac
done

run() { # NIGHT: with the line that was given that night
  local words=() code
  mapfile -d '' -t words < "$RUNS/$1.line"
  "$PYTHON" -m jobs.submit "${words[@]}" "run.dir=$RUNS/$1" --wait
  code=$?
  echo "$code" > "$RUNS/$1.code"
  "$PYTHON" -m jobs.status "run.dir=$RUNS/$1" summary=true "exit_code=$code" "${notify[@]}"
  return "$code"
}

last=
for line in "$RUNS"/????-??-??.line; do # in the order of time
  night=$(basename "$line" .line)
  [[ $night < $NIGHT ]] && last=$night
done
if [ -e "$RUNS/$last.line" ] && ! finished "$last"; then
  echo "nightly: $last is unfinished, and goes first"
  run "$last"
fi
if finished "$NIGHT"; then
  echo "nightly: $NIGHT is done already"
  exit 0
fi
if [ ! -e "$RUNS/$NIGHT.line" ]; then # whole or not at all: no line would mean the defaults of jobs.submit
  (umask 077; printf '%s\0' "${words[@]}" > "$RUNS/$NIGHT.new") && # the password of a URL may be in it
    mv "$RUNS/$NIGHT.new" "$RUNS/$NIGHT.line" || exit 2
fi
run "$NIGHT"
