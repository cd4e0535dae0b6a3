# Runs a job of ours as the driver of a Slurm job; sourced by ray.sbatch and array.sbatch.
# PYTHON: the interpreter. MAX_REQUEUES: time slices that a run may take. OVERNIGHT_SITE: a script that runs the words it
# is given as the site wants it (cluster.setup, cluster.launcher). OVERNIGHT_SRUN: options for srun, one a line: each
# Python command is then a step with them (cluster.srun).

CODE=${OVERNIGHT_CODE:-$SLURM_SUBMIT_DIR} # jobs.submit sets it: a copy, so that tomorrow's edits don't change tonight's run
PYTHON=${PYTHON:-$CODE/.venv/bin/python}
export PYTHONPATH=$CODE PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 # modules come from $CODE, not from the working folder

site=() srun_options=()
[ -z "${OVERNIGHT_SITE:-}" ] || site=(bash "$OVERNIGHT_SITE")
[ -z "${OVERNIGHT_SRUN:-}" ] || mapfile -t srun_options <<< "$OVERNIGHT_SRUN"
here=("${site[@]}") # what goes before each Python command on this node
if [ ${#srun_options[@]} -gt 0 ]; then
  here=(srun --overlap --nodes=1 --ntasks=1 --nodelist="$SLURMD_NODENAME"
    --cpus-per-task="${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE}" "${srun_options[@]}" "${site[@]}")
fi

driver=
stop=
on_signal() { # NAME: it goes to the driver, or waits until there is one
  stop=$1
  [ -n "$driver" ] || return 0
  # A copy of this shell that is about to become the driver would lose it.
  for ((i = 0; i < 100; i++)); do [ "/proc/$driver/exe" -ef "/proc/$$/exe" ] && sleep 0.02; done
  kill -s "$1" "$driver" 2>/dev/null
}
trap 'on_signal USR1' USR1 # from --signal=B:USR1@…, some time before the time limit
trap 'on_signal TERM' TERM # at scancel and at pre-emption

# executor USUAL WORDS…: what has to be added to the words of a job, unless they ask for a server of the job's own.
executor() {
  case " ${*:2} " in *" executor=server "*) ;; *) echo "executor=$1" ;; esac
}

# drive JOB OVERRIDES…: the exit code is the job's.
drive() {
  [ -z "$stop" ] || return 75
  "${here[@]}" "$PYTHON" -m "jobs.$1" "${@:2}" &
  driver=$!
  [ -z "$stop" ] || on_signal "$stop" # it came before there was a driver to tell
  while kill -0 "$driver" 2>/dev/null; do wait "$driver"; done # `wait` ends early at each signal
  wait "$driver"
  local code=$?
  [ "$code" != 138 ] || code=75 # USR1 came before the job could hear it
  return "$code"
}

# finish CODE: ends the Slurm job; where its time was too short (75), it is queued again and resumes.
finish() {
  local code=$1 me=$SLURM_JOB_ID
  # The id of an array's last element is that of the whole array: only this name means one element.
  [ -z "${SLURM_ARRAY_JOB_ID:-}" ] || me=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
  if [ "$code" = 75 ] && [ "$stop" != TERM ]; then
    if [ "${SLURM_RESTART_COUNT:-0}" -ge "${MAX_REQUEUES:-50}" ]; then
      echo "still unfinished after ${SLURM_RESTART_COUNT:-0} restarts (cluster.max_requeues); give it more time a slice" >&2
    elif scontrol requeue "$me"; then
      sleep 60 # until Slurm ends this script
    else
      echo "Slurm did not requeue job $me; submit the same line again: it resumes" >&2
    fi
  fi
  exit "$code"
}
