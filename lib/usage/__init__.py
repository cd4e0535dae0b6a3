"""Usage: what may be typed, where it is asked for, by --help or by the shell's completion."""
