# Overnight in a container.
#   for CPUs:  docker build --tag overnight .
#   for GPUs:  docker build --tag overnight:gpu --build-arg EXTRAS=gpu,demo --build-arg UV_FLAGS= .
#   a run:     docker run --rm --init --gpus all --shm-size 8g --volume "$PWD:/work" --volume overnight-cache:/cache \
#              overnight:gpu judge data=arena data.path=train.csv engine=qwen3_8b
# CUDA itself comes with PyTorch's wheels; the driver is the host's, by NVIDIA's container toolkit.
FROM python:3.11-slim

# A compiler: PyTorch and Triton compile kernels while a model loads. wget: KubeRay asks its pods by it how they are.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libnuma1 wget \
    && rm -rf /var/lib/apt/lists/*

# The user of most clusters' volumes; any other (docker run --user) does as well.
RUN useradd --uid 1000 --create-home overnight \
    && mkdir --mode=0777 /cache /work

WORKDIR /opt/overnight
ARG EXTRAS=cpu,demo
ARG UV_FLAGS="--torch-backend cpu"
ENV VIRTUAL_ENV=/opt/overnight/.venv
ENV PATH=$VIRTUAL_ENV/bin:$PATH
# What it needs first: a change of the code then costs seconds.
COPY pyproject.toml ./
# hadolint ignore=DL3013,SC2086
RUN python -m venv "$VIRTUAL_ENV" \
    && pip install --no-cache-dir uv \
    && IFS=, && for extra in $EXTRAS; do set -- "$@" --extra "$extra"; done && unset IFS \
    && uv pip install --no-cache --compile-bytecode $UV_FLAGS --requirements pyproject.toml "$@"
COPY setup.py README.md LICENSE ./
COPY jobs jobs
COPY lib lib
COPY conf conf
COPY slurm slurm
RUN uv pip install --no-cache --compile-bytecode --no-deps --editable .

# Models of the hub and all other caches; what jobs.fetch has put there needs no network (HF_HUB_OFFLINE=1).
ENV XDG_CACHE_HOME=/cache HF_HOME=/cache/huggingface
ENV RAY_USAGE_STATS_ENABLED=0 VLLM_NO_USAGE_STATS=1
VOLUME /cache
USER 1000
WORKDIR /work
ENTRYPOINT ["overnight"]
