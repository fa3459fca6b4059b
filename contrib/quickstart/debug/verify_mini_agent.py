"""Whether a mini-agent answers /ready and /agent/run: `scillm mini-agent verify [--local]`."""

import sys

from scillm_cli.group import cli

if __name__ == "__main__":
    cli(["mini-agent", "verify", *sys.argv[1:]], prog_name="scillm")
