# Written by `python plugins/stubs/generate.py`; do not edit.
