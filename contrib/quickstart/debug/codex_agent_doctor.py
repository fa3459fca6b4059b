"""Whether a codex-agent works; the last line is "doctor: ok": `scillm codex doctor`."""

import sys

from scillm_cli.group import cli

if __name__ == "__main__":
    cli(["codex", "doctor", *sys.argv[1:]], prog_name="scillm")
