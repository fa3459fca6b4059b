# Written by `python plugins/stubs/generate.py`; do not edit.
from scillm_batch import *
