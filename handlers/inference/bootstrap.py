"""The image's process: ``python3 -I -S /var/task/handlers/inference/bootstrap.py``.

Without ``site`` (-S), Python starts in half the CPU time. Isolated (-I), it looks for modules only where it
is told to: beside this package, and where Lambda's layers and the emulator say so (PYTHONPATH). This file is
compiled at each start, so it is short.
"""

import os
import sys

_named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
sys.path[:0] = [__file__.removesuffix("/handlers/inference/bootstrap.py"), *filter(None, _named)]

from handlers.inference.runtime import main  # noqa: E402 - its place is known only now

sys.exit(main())
