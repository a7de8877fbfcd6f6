"""`python -m hostemu`."""

from hostemu.cli.main import main

main()
