"""What cdk.json and the working tree ask for: the template that ``cdk synth`` makes of them."""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from coldpress.errors import CommandError


def read_wanted(config: Path, stack: str) -> dict[str, Any] | None:
    """The stack's template as it would be deployed now; None where ``config`` is not there.

    Raises:
        CommandError: it cannot be synthesised; the sentence is the app's own.
    """
    if not config.is_file():
        return None
    beside = Path(sys.executable).with_name("cdk")
    cdk = str(beside) if beside.exists() else shutil.which("cdk")
    if cdk is None:
        raise CommandError("cdk is not installed here: run `make setup`.")
    with tempfile.TemporaryDirectory(prefix="coldpress-synth-") as folder:
        command = [cdk, "synth", "--quiet", "--output", folder]
        done = subprocess.run(command, check=False, cwd=config.parent, capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise CommandError(f"{config} cannot be synthesised: {said[0] if said else 'cdk says nothing'}")
        template = Path(folder) / f"{stack}.template.json"
        if not template.exists():
            return None
        found: dict[str, Any] = json.loads(template.read_text(encoding="utf-8"))
        return found
