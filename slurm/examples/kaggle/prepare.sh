#!/bin/bash
# All that a Kaggle notebook without internet needs, in a folder to be uploaded as a dataset: wheels and models. To be run
# where there is network, with the notebook's version of Python.
# usage, from the root:  slurm/examples/kaggle/prepare.sh FOLDER engine=bagel_34b_awq
set -euo pipefail
FOLDER=$1
shift
PYTHON=${PYTHON:-.venv/bin/python}
UV=${UV:-.venv/bin/uv}
mkdir -p "$FOLDER/wheels"

"$UV" build --quiet --wheel --out-dir "$FOLDER/wheels" .
# As uv reads the file: pip knows nothing of what pyproject.toml overrides.
"$UV" pip compile --quiet --extra gpu --python "$PYTHON" --output-file "$FOLDER/requirements.txt" pyproject.toml
"$PYTHON" -m pip wheel --quiet --no-deps --wheel-dir "$FOLDER/wheels" --requirement "$FOLDER/requirements.txt"
# No links: an upload would take each file twice.
HF_HOME="$FOLDER/huggingface" HF_HUB_DISABLE_SYMLINKS=1 "$PYTHON" -m jobs.fetch "$@"
