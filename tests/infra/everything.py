"""Stages with all that can be asked for at once, one for each kind of API."""

from typing import Any

DIGEST = "0123456789abcdef" * 4
_UUID = "01234567-89ab-cdef-0123-456789abcdef"
_BOTH: dict[str, Any] = {
    "models": {
        "ocr": {
            "digest": DIGEST,
            "provisioned_concurrency": {"min": 1},
            "reserved_concurrency": 20,
            "shadow": {"version": 2, "digest": DIGEST[::-1], "share": 0.05},
        },
        "layout": {"digest": DIGEST, "transform": "transforms.a:B"},
    },
    "rollout": {"type": "canary", "minutes": 15},
    "monitor": {"every_minutes": 5, "roll_back": True},
    "capture": {"rate": 0.1, "redact": ["x[2]"]},
    "batch": {"buckets": ["my-requests", "my-answers"]},
    "alarms": {"email": "on-call@example.com"},
    "budget": {"monthly_usd": 50, "anomaly_usd": 5},
    "log_retention_days": 90,
    "kms_key_arn": f"arn:aws:kms:eu-west-1:123456789012:key/{_UUID}",
    "permissions_boundary_arn": "arn:aws:iam::123456789012:policy/boundary",
    "domain": {
        "name": "models.example.com",
        "certificate_arn": f"arn:aws:acm:eu-west-1:123456789012:certificate/{_UUID}",
    },
}
HTTP: dict[str, Any] = {
    **_BOTH,
    "authorization": "jwt",
    "jwt": {"issuer": "https://login.example.com", "audience": ["app"]},
    "cors": {"origins": ["https://app.example.com"]},
}
REST: dict[str, Any] = {
    **_BOTH,
    "api": "rest",
    "cors": {"origins": ["https://app.example.com"]},
    "authorization": "api_key",
    "quota": {"limit": 1000, "period": "day"},
    "web_acl_arn": f"arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/a/{_UUID}",
}
