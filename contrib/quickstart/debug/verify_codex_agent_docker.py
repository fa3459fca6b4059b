"""Whether the sidecar and the mini-agent answer: `scillm codex-sidecar verify`."""

import sys

from scillm_cli.group import cli

if __name__ == "__main__":
    cli(["codex-sidecar", "verify", *sys.argv[1:]], prog_name="scillm")
