"""Retrievers: engines that find passages for a query, in a corpus or on the web."""
