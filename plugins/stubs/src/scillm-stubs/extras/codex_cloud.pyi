# Written by `python plugins/stubs/generate.py`; do not edit.
from scillm_codex_agent.codex_cloud import *
