# Written by `python plugins/stubs/generate.py`; do not edit.
from scillm_mini_agent.server import *
