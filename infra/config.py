"""The configuration's types: a stage under ``coldpress`` in cdk.json, and what ``ModelEndpoint`` takes.

The types below are the reference: each field's bounds and its description make the sentence that a wrong
value gets, so the two cannot drift apart. docs/deployment.md explains the fields to users; infra/stages.py
reads them from cdk.json and says what does not go together.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bundle.manifest import ModelName

Architecture = Literal["x86_64", "arm64"]
ApiKind = Literal["http", "rest"]
Authorization = Literal["iam", "jwt", "api_key", "none"]
# What CloudWatch Logs takes, and no other number.
LogRetention = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
]
_HTTPS = r"^https://[^\s]+\Z"
_DOMAIN = r"^(?=.{4,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}\Z"
_ARN = r"^arn:aws[\w-]*:%s\Z"
# Of ECR, by digest: a tag could be moved by somebody.
IMAGE_URI = (
    r"^(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?P<suffix>\.cn)?/"
    r"(?P<name>[a-z0-9][a-z0-9._/-]{1,254})@(?P<digest>sha256:[0-9a-f]{64})\Z"
)
_KeyArn = Annotated[
    str,
    Meta(
        pattern=_ARN % r"kms:[a-z0-9-]+:\d{12}:key/[\w-]+",
        description="it takes the ARN of a symmetric KMS key (not of an alias)",
    ),
]
_CRON = r"^[\w*/,?#-]+( [\w*/,?#-]+){5}\Z"  # six fields, as AWS has them


class InvalidConfig(Exception):
    """The configuration cannot be deployed; the message is one sentence: the key, and what is right."""


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The settings that all parts of the configuration share."""


class Shadow(_Section, frozen=True, kw_only=True):
    """A second version, which gets a ``share`` of the requests as well; nobody gets its answers."""

    version: Annotated[
        int, Meta(ge=1, le=2**31, description="a version is the whole number that `coldpress push` printed")
    ]
    digest: Annotated[
        str,
        Meta(
            pattern=r"^[0-9a-f]{64}\Z",
            description="a digest is the 64 hex digits that `coldpress push` printed",
        ),
    ]
    share: Annotated[
        float, Meta(gt=0, le=1, description="it takes a share of the requests, above 0 and up to 1")
    ]


class Model(_Section, frozen=True, kw_only=True):
    """What is served: a bundle, by its digest and never by a pointer that can move."""

    name: Annotated[
        ModelName,
        Meta(description="a model's name has 1 to 63 lower-case letters, digits and inner hyphens"),
    ]
    version: Annotated[
        int, Meta(ge=1, le=2**31, description="a version is the whole number that `coldpress push` printed")
    ] = 1
    digest: (
        Annotated[
            str,
            Meta(
                pattern=r"^[0-9a-f]{64}\Z",
                description="a digest is the 64 hex digits that `coldpress push` printed",
            ),
        ]
        | None
    ) = None
    versions: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=2**31)], ...],
        Meta(max_length=5, description="it takes a list of up to 5 versions that this stage served before"),
    ] = ()
    labels: Annotated[
        dict[
            Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,62}\Z")],
            Annotated[int, Meta(ge=1, le=2**31)],
        ],
        Meta(
            max_length=5,
            description='it takes an object of up to 5 labels and their versions like {"stable": 6}, and a '
            "label has 1 to 63 lower-case letters, digits and hyphens, a letter first",
        ),
    ] = {}
    shadow: Shadow | None = None

    @property
    def earlier(self) -> list[int]:
        """The versions beside the one that is deployed which URLs reach by number or label, in order."""
        return sorted({*self.versions, *self.labels.values()} - {self.version})

    def labels_of(self, version: int) -> list[str]:
        """The labels that a version has."""
        return [label for label, labelled in self.labels.items() if labelled == version]


class Schedule(_Section, frozen=True, kw_only=True):
    """Other limits of provisioned concurrency from a time on; without ``max`` it stays as it was."""

    cron: Annotated[str, Meta(pattern=_CRON)]
    timezone: Annotated[str, Meta(pattern=r"^[A-Za-z]+(/[A-Za-z0-9_+-]+)*\Z")] = "UTC"
    min: Annotated[int, Meta(ge=1, le=10_000)]
    max: Annotated[int, Meta(ge=1, le=10_000)] | None = None


class ProvisionedConcurrency(_Section, frozen=True, kw_only=True):
    """How many environments stay initialised, and the share of them in use that target tracking aims for.

    It follows the ``statistic`` of a minute's utilisation: ``maximum`` sees bursts of seconds, and scales up
    for them; ``average`` does not.
    """

    min: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="the smallest number is 1 (for none, leave provisioned_concurrency out)",
        ),
    ] = 1
    max: Annotated[
        int, Meta(ge=1, le=10_000, description="it takes a whole number of environments from 1 to 10000")
    ] = 10
    target_utilization: Annotated[
        float, Meta(ge=0.1, le=0.9, description="Application Auto Scaling takes a share from 0.1 to 0.9")
    ] = 0.7
    statistic: Annotated[
        Literal["average", "maximum"], Meta(description='it takes "average" or "maximum"')
    ] = "average"
    schedules: Annotated[
        tuple[Schedule, ...],
        Meta(
            description="it takes a list like "
            '[{"cron": "0/15 8-17 ? * MON-FRI *", "timezone": "Europe/Berlin", "min": 5}], and the smallest '
            "min is 1"
        ),
    ] = ()


class Rollout(_Section, frozen=True, kw_only=True):
    """How traffic comes to a new version: ``all_at_once``, or ``percent`` of it first.

    ``canary`` gives the rest after ``minutes``; ``linear`` gives another ``percent`` every ``minutes``.
    Before any, the golden samples are replayed; a warm answer may take ``latency_factor`` times what was
    measured when the bundle was made.
    """

    type: Annotated[
        Literal["all_at_once", "canary", "linear"],
        Meta(description='CodeDeploy has "all_at_once", "canary" and "linear"'),
    ] = "all_at_once"
    percent: Annotated[int, Meta(ge=1, le=99, description="it takes a whole number from 1 to 99")] = 10
    minutes: Annotated[
        int, Meta(ge=1, le=2_880, description="it takes whole minutes from 1 to 2880, two days")
    ] = 5
    latency_factor: Annotated[float, Meta(ge=1, le=1_000, description="it takes a number from 1 to 1000")] = 5


class Batch(_Section, frozen=True, kw_only=True):
    """Many requests that wait in S3, for `coldpress batch`: the ``buckets`` it may read from and write to."""

    buckets: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")], ...],
        Meta(min_length=1, description='it takes a list of one or more buckets\' names like ["my-data"]'),
    ]


class Capture(_Section, frozen=True, kw_only=True):
    """A share of the requests, kept in S3 for the monitors: ``rate`` of them, for ``retention_days``.

    Their ``inputs`` and ``outputs`` as the model saw them, but for what ``redact`` names: tensors, or columns
    of their rows. The default rate costs a hundredth of what serving does.
    """

    rate: Annotated[
        float, Meta(gt=0, le=1, description="it takes a share of the requests, above 0 and up to 1")
    ] = 0.01
    inputs: Annotated[bool, Meta(description="it takes true or false")] = True
    outputs: Annotated[bool, Meta(description="it takes true or false")] = True
    redact: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...],
        Meta(
            max_length=20,
            description="it takes a list of up to 20 tensors and columns of their rows, like "
            '["name", "x[3]"]',
        ),
    ] = ()
    retention_days: Annotated[int, Meta(ge=1, le=3_653, description="it takes whole days from 1 to 3653")] = (
        30
    )


class Quality(_Section, frozen=True, kw_only=True):
    """By how much the share that is right, or that agrees, may be below the verified one without an alarm."""

    max_drop: Annotated[float, Meta(ge=0, lt=1, description="it takes a share from 0 up to below 1")] = 0.01


class Monitor(_Section, frozen=True, kw_only=True):
    """A function that looks at captured requests ``every_minutes``, and the alarms that it raises.

    Half an hour is for little traffic: of one request a second and the default ``capture.rate`` it finds 18.
    The original model, if it was pushed, answers a share of the captured requests as well. With
    ``roll_back`` the alarms on quality and agreement end a rollout in steps, as errors do. ``memory_mb``
    must hold the original model three times.
    """

    every_minutes: Annotated[int, Meta(ge=1, le=60, description="it takes whole minutes from 1 to 60")] = 30
    agreement_share: Annotated[
        float, Meta(ge=0, le=1, description="it takes a share of the captured requests, from 0 to 1")
    ] = 0.1
    quality: Quality = Quality()
    roll_back: Annotated[bool, Meta(description="it takes true or false")] = False
    memory_mb: Annotated[int, Meta(ge=512, le=10_240, description="it takes whole MB from 512 to 10240")] = (
        1_024
    )


# An HTTP API's stage never forgets what a route was allowed: the route could not leave any more.
OWN_LIMITS = (
    "is a model's own, but the limits of an HTTP API's route outlive the route, and block the API's next "
    'deployment: put it beside models, or bound the model by reserved_concurrency, or set api to "rest"'
)


class Throttling(_Section, frozen=True, kw_only=True):
    """Requests that the API lets through: a steady rate per second, and a burst above it."""

    rate: Annotated[
        float, Meta(gt=0, le=10_000, description="it takes requests per second, above 0 and up to 10000")
    ] = 50
    burst: Annotated[
        int, Meta(ge=1, le=5_000, description="it takes a whole number of requests from 1 to 5000")
    ] = 100


class Alarms(_Section, frozen=True, kw_only=True):
    """What raises an alarm within one minute, and who is told."""

    p99_latency_ms: Annotated[
        int,
        Meta(
            ge=1, le=30_000, description="it takes whole milliseconds from 1 to 30000, the API's own timeout"
        ),
    ] = 1_000
    errors: Annotated[int, Meta(ge=1, description="it takes a whole number of failed invocations from 1")] = 1
    throttles: Annotated[
        int, Meta(ge=1, description="it takes a whole number of refused invocations from 1")
    ] = 1
    email: (
        Annotated[
            str, Meta(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+\Z", description="it takes one e-mail address")
        ]
        | None
    ) = None


class Jwt(_Section, frozen=True, kw_only=True):
    """Whose tokens open the API: an OpenID Connect issuer, and the audiences (client ids) that it names."""

    issuer: Annotated[
        str, Meta(pattern=_HTTPS, description="it takes the issuer's https address, as its tokens say it")
    ]
    audience: Annotated[
        tuple[str, ...],
        Meta(min_length=1, description='it takes a list of one or more strings like ["my-app"]'),
    ]


class Cors(_Section, frozen=True, kw_only=True):
    """Which pages in browsers may use the API; a REST API knows one origin, or ``*``."""

    origins: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^(\*|https?://[^\s/]+)\Z")], ...],
        Meta(min_length=1, description='it takes a list of origins like ["https://app.example.com"]'),
    ]
    headers: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[\w*-]+\Z")], ...],
        Meta(description='it takes a list of the request headers that pages may send, like ["content-type"]'),
    ] = ("content-type", "authorization")
    max_age_s: Annotated[int, Meta(ge=0, le=86_400, description="it takes whole seconds from 0 to 86400")] = (
        3_600
    )


class Domain(_Section, frozen=True, kw_only=True):
    """A name of one's own in front of the API, and the certificate for it."""

    name: Annotated[str, Meta(pattern=_DOMAIN, description='it takes a name like "models.example.com"')]
    certificate_arn: Annotated[
        str,
        Meta(
            pattern=_ARN % r"acm:[a-z0-9-]+:\d{12}:certificate/[\w-]+",
            description="it takes the ARN of a certificate of AWS Certificate Manager in the API's region",
        ),
    ]


class Quota(_Section, frozen=True, kw_only=True):
    """How many requests one API key may send in a day, a week or a month."""

    limit: Annotated[int, Meta(ge=1, description="it takes a whole number of requests from 1")]
    period: Annotated[
        Literal["day", "week", "month"], Meta(description='it takes "day", "week" or "month"')
    ] = "month"


class Budget(_Section, frozen=True, kw_only=True):
    """What the stage may cost in a month; e-mails tell of 80 % of it, and when it looks to be exceeded.

    With ``anomaly_usd`` they also tell of a day that costs that much more than days like it did before.
    """

    monthly_usd: Annotated[
        float, Meta(gt=0, le=1_000_000, description="it takes US dollars a month, above 0 and up to 1000000")
    ]
    anomaly_usd: (
        Annotated[
            float, Meta(gt=0, le=1_000_000, description="it takes US dollars, above 0 and up to 1000000")
        ]
        | None
    ) = None


class ApiConfig(_Section, frozen=True, kw_only=True):
    """The API that one or several models share.

    ``api`` is ``http`` (the cheaper and quicker one) or ``rest`` (API keys, quotas, WAF). ``authorization``
    is ``iam`` (requests signed with AWS credentials), ``jwt`` (tokens of the issuer ``jwt``), ``api_key``
    (one of ``api_keys``, each with the same ``quota``) or ``none`` (open to everyone). With ``streaming``,
    which a REST API has, answers may be larger than the 6 MB that Lambda carries otherwise. Logs, its own
    and the models', are kept for ``log_retention_days``.
    """

    api: Annotated[ApiKind, Meta(description='it takes "http" or "rest" (for API keys, quotas and WAF)')] = (
        "http"
    )
    authorization: Annotated[
        Authorization,
        Meta(description='it takes "iam" (signed requests), "jwt", "api_key" or "none" (open to everyone)'),
    ] = "iam"
    jwt: Jwt | None = None
    api_keys: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[A-Za-z0-9][\w.-]{0,99}\Z")], ...],
        Meta(min_length=1, description='it takes a list of one or more clients\' names like ["shop"]'),
    ] = ("default",)
    quota: Quota | None = None
    throttling: Throttling = Throttling()
    cors: Cors | None = None
    domain: Domain | None = None
    streaming: Annotated[bool, Meta(description="it takes true or false")] = False
    log_retention_days: Annotated[
        LogRetention,
        Meta(
            description="CloudWatch Logs takes 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365 days or years"
        ),
    ] = 30
    web_acl_arn: (
        Annotated[
            str,
            Meta(
                pattern=_ARN % r"wafv2:[a-z0-9-]+:\d{12}:regional/webacl/[\w-]+/[\w-]+",
                description="it takes the ARN of a regional web ACL of AWS WAF",
            ),
        ]
        | None
    ) = None


class _Serving(ApiConfig, frozen=True, kw_only=True):
    """How a model is served, whichever it is.

    ``memory_mb`` also buys CPU: 1769 MB is one vCPU, all that one inference thread uses. ``timeout_s``
    stays within both APIs' limits (29 s REST, 30 s HTTP), and the function answers half a second before it,
    so that the client gets the function's own 504, which is counted. ``architecture`` is the bundle's target.
    Without ``provisioned_concurrency`` it serves from zero. ``reserved_concurrency`` is the most that run at
    once, taken out of the account's own. ``transform`` is the user's own code at ``:transform``, from the
    image's folder transforms/. ``batch`` lets `coldpress batch` have objects of S3 answered. ``capture``
    keeps a share of the requests, and ``monitor`` looks at them.
    """

    memory_mb: Annotated[
        int, Meta(ge=128, le=10_240, description="Lambda takes whole MB from 128 to 10240")
    ] = 1_769
    timeout_s: Annotated[
        int,
        Meta(
            ge=1,
            le=29,
            description="it takes whole seconds from 1 to 29, because API Gateway gives up at 29 or 30",
        ),
    ] = 29
    architecture: Annotated[Architecture, Meta(description='Lambda has "x86_64" and "arm64"')] = "x86_64"
    provisioned_concurrency: ProvisionedConcurrency | None = None
    reserved_concurrency: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=10_000,
                description="it takes a whole number of environments from 1 to 10000 (0 stops the endpoint)",
            ),
        ]
        | None
    ) = None
    transform: (
        Annotated[
            str,
            Meta(
                pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*\Z",
                description='it takes the class of your own code, like "transforms.ocr:Transform"',
            ),
        ]
        | None
    ) = None
    rollout: Rollout = Rollout()
    alarms: Alarms = Alarms()
    batch: (
        Annotated[
            Batch, Meta(description='it takes the buckets of requests and answers: {"buckets": ["my-data"]}')
        ]
        | None
    ) = None
    capture: (
        Annotated[Capture, Meta(description='it takes the share of requests to keep: {"rate": 0.01}')] | None
    ) = None
    monitor: (
        Annotated[Monitor, Meta(description='it takes how often it looks: {"every_minutes": 30}')] | None
    ) = None


class EndpointConfig(_Serving, frozen=True, kw_only=True):
    """One endpoint: what it serves and how. The shortest is ``EndpointConfig(model=Model(name="ocr"))``."""

    model: Annotated[Model, Meta(description='a stage needs one: {"name": "ocr"}')]


class StageConfig(_Serving, frozen=True, kw_only=True):
    """One stage in cdk.json: one ``model``, or several ``models`` behind one API, and its guard rails.

    What stands beside ``models`` holds for each of them; what stands in a model's object takes its place.
    ``endpoints`` of ``infra.stages`` puts the two together.
    """

    model: Annotated[Model, Meta(description='a stage needs one: {"name": "ocr"}')] | None = None
    models: Annotated[
        dict[str, dict[str, Any]],
        Meta(description='it takes an object of models by name like {"ocr": {"memory_mb": 3008}}'),
    ] = {}
    tags: Annotated[
        dict[str, str], Meta(description='it takes an object of strings like {"team": "search"}')
    ] = {}
    termination_protection: Annotated[bool, Meta(description="it takes true or false")] = False
    budget: Budget | None = None
    image: (
        Annotated[
            str,
            Meta(
                pattern=IMAGE_URI,
                description="it takes the address of an image in ECR by its digest, like "
                "123456789012.dkr.ecr.eu-west-1.amazonaws.com/coldpress@sha256:…",
            ),
        ]
        | None
    ) = None
    kms_key_arn: _KeyArn | None = None
    permissions_boundary_arn: (
        Annotated[
            str,
            Meta(
                pattern=_ARN % r"iam::(\d{12}|aws):policy/[\w+=,.@/-]+",
                description="it takes the ARN of a managed policy",
            ),
        ]
        | None
    ) = None


class RegistryConfig(_Section, frozen=True, kw_only=True):
    """The registry that all stages share, ``registry`` beside them in cdk.json: the key of its bucket."""

    kms_key_arn: _KeyArn | None = None
