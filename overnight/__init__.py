"""What a wheel of this project is called. Its modules import each other as in a checkout: see `__main__`."""
