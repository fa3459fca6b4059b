"""`python -m pytest_scillm.endpoint`: the endpoint in a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import sys
from collections import deque

from . import __doc__ as grammar
from .connection import Ledger
from .server import listen, new_loop, port_of


def serve_forever(port: int, *, uvloop: bool, keep: int = 0) -> None:
    """Serve until interrupted; prints `READY <port>` when connections are taken.

    Args:
        port: the port; 0 is any that is free.
        uvloop: use uvloop if it is installed.
        keep: how many of the latest requests are kept; nobody can look at them over HTTP.
    """
    ledger = Ledger(deque(maxlen=keep))

    async def run() -> None:
        server = await listen(ledger, port)
        sys.stdout.write(f"READY {port_of(server)}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()

    gc.freeze()
    loop = new_loop(uvloop=uvloop)
    with contextlib.suppress(KeyboardInterrupt):
        loop.run_until_complete(run())


def main() -> None:
    """Read the arguments and serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m pytest_scillm.endpoint",
        description=grammar,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="0 (the default) is any free port")
    parser.add_argument("--no-uvloop", action="store_true", help="asyncio's loop in any case")
    arguments = parser.parse_args()
    serve_forever(arguments.port, uvloop=not arguments.no_uvloop)


if __name__ == "__main__":
    main()
