"""`python -m musiclime_torch` is the command line."""

from musiclime_torch.commands.cli import main

main()
