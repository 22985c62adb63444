"""Run the command line as ``python -m bais_gates``."""

import sys

from bais_gates.cli import main

if __name__ == "__main__":
    sys.exit(main())
