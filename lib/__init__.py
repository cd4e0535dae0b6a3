"""The library. Its floors, from the ground up: types, errors, config, log; scoring; data; engines, tasks, report; …"""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The folder that holds `jobs/`, `conf/` and `lib/`: modules are imported from there, here and in every worker."""
