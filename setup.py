"""The wheel takes one name from the world: `jobs`, `lib`, `conf` and `slurm` lie below `overnight` in it."""

from setuptools import find_packages, setup

TOPS = ("jobs", "lib", "conf")
FOUND = find_packages(include=[pattern for top in TOPS for pattern in (top, f"{top}.*")], exclude=["lib.entry"])

setup(
    packages=["overnight", "overnight.slurm", *(f"overnight.{name}" for name in FOUND)],
    package_dir={"overnight": "lib/entry", **{f"overnight.{top}": top for top in (*TOPS, "slurm")}},
)
