"""Peers of a model at a gateway, as lines for .env and a Router: `scillm chutes peers`."""

import sys

from scillm_cli.group import cli

if __name__ == "__main__":
    cli(["chutes", "peers", *sys.argv[1:]], prog_name="scillm")
