"""Import this before anything else: transformers then looks for no torchvision.

torchprofile brings one that may be built for another torch, and importing that fails.
"""

import sys

sys.modules["torchvision"] = None  # type: ignore[assignment]
