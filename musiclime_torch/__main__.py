"""`python -m musiclime_torch` is the command line."""

from musiclime_torch.cli import main

main()
