"""Data: reading it, its kinds of rows, plans, shards and results, all as Arrow tables."""

import pyarrow as pa

from lib.imports import without

# Arrow imports pandas at the first list that it is given, only to see whether it is one of pandas': two seconds where
# no bytecode is kept. Having found none, it looks again when it is asked for a DataFrame (`to_pandas`), not before.
# (Until then a bare Series would be any sequence to it; nothing here has one.)
with without("pandas"):
    pa.array([])
