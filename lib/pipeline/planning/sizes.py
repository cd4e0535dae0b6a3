"""Sizes as people write them."""


def size(count: float) -> str:
    """Bytes to read: 16.4 GB, 84 MB, 3 kB."""
    if count >= 1e9:
        return f"{count / 1e9:,.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
