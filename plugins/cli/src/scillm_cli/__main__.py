"""``python -m scillm_cli`` is ``scillm``."""

from scillm_cli import main

main()
