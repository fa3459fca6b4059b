# Written by `python plugins/stubs/generate.py`; do not edit.
from scillm_codex_agent.multi_agents import *
