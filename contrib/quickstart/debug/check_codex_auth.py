"""Whether the codex command is logged in, values masked: `scillm codex-sidecar auth`."""

import sys

from scillm_cli.group import cli

if __name__ == "__main__":
    cli(["codex-sidecar", "auth", *sys.argv[1:]], prog_name="scillm")
