"""Four calls to codex-agent at one time, by a Router; prints what became of each.

The model is the argument, else the first that the agent lists. Exits with 1 if a call failed.
"""

import asyncio
import json
import sys

import scillm
from scillm import Router


async def main() -> int:
    """Ask, print, and return the exit code."""
    listed = [] if len(sys.argv) > 1 else (await scillm.amodels("codex-agent", timeout=10.0)).data
    model = sys.argv[1] if len(sys.argv) > 1 else listed[0]["id"]
    calls = [
        {"model": f"codex-agent/{model}", "messages": [{"role": "user", "content": f"ping {n}"}]}
        for n in range(4)
    ]
    results = await Router().parallel_acompletions(calls, concurrency=4)
    for result in results:
        print(json.dumps({"content": result.content, "scillm_router": result["scillm_router"]}))
    return int(any(result.error for result in results))


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except (scillm.ScillmError, IndexError) as error:
        sys.exit(f"failed: {error} (`python debug/codex_agent_doctor.py` says more)")
