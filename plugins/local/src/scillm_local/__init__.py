"""The embedded model: SmolLM2-135M-Instruct by llama.cpp, the default when no model is named.

Read ``provider`` first (what a call becomes), then ``access`` (how a process finds or starts
the host), then ``host`` (the process that holds the model).
"""

from scillm_local.provider import Local

__all__ = ["Local"]
