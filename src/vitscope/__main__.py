"""`python -m vitscope`."""

from vitscope.cli.app import main

main()
