"""A handler that shows what it was sent, or misbehaves as the query asks."""

import importlib
import json
import os
import signal
import time
from pathlib import Path

if os.environ.get("INIT") == "fail":
    raise ImportError("as asked")


def handler(event, context):
    asked = event.get("queryStringParameters") or {}
    match asked.get("do"):
        case "raise":
            raise ValueError("as asked")
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sleep":
            time.sleep(float(asked["seconds"]))
        case "wait":
            while not Path(asked["path"]).exists():
                time.sleep(0.02)
        case "import":
            importlib.import_module(asked["name"])
        case "print":
            print(asked["text"])
        case "answer":
            return json.loads(event["body"])
    shown = {
        "event": event,
        "pid": os.getpid(),
        "environment": dict(os.environ),
        "remaining_ms": context.get_remaining_time_in_millis(),
    }
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(shown)}
