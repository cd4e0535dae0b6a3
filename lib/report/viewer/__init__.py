"""The viewer of rows: a run's rows as a list with filters, and each of them as a page."""
