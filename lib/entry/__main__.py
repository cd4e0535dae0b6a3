"""The command `overnight`: the same as `python -m jobs`, from any folder.

This folder is installed as the package `overnight`, in which a wheel also has `jobs`, `lib` and `conf`; in a checkout
these lie where they are. They are found by these names in this process and in those that it starts, nowhere else.
"""

import os
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
CODE = _HERE if (_HERE / "jobs").is_dir() else _HERE.parents[1]


def main() -> None:
    """Run the command line."""
    sys.path.insert(0, str(CODE))
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(CODE) if not others else f"{CODE}{os.pathsep}{others}"
    os.environ["PYTHONSAFEPATH"] = "1"  # a folder `lib` where the command is typed is another one
    from jobs.__main__ import main as command

    command()


if __name__ == "__main__":
    main()
