"""The tools, one module each; `registry.py` lists them."""
