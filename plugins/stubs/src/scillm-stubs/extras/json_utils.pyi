# Written by `python plugins/stubs/generate.py`; do not edit.
from scillm_json_mode.json_utils import *
