"""`python -m fusemap` is the same as `fusemap`."""

import sys

from fusemap.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
