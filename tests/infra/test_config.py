"""Every mistake gets one sentence that names the key and says what is right."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.config import EndpointConfig, InvalidConfig, Model, ProvisionedConcurrency
from infra.stages import check_config, endpoints, load_registry, load_stages

MODEL = {"name": "ocr"}
DIGEST = "0123456789abcdef" * 4


def load(stage: Any, **context: Any) -> Any:
    return load_stages({"coldpress": {"dev": stage}, **context})["dev"]


def test_the_shortest_stage_gets_the_defaults() -> None:
    stage = load({"model": MODEL})
    assert (stage.model.name, stage.model.version, stage.model.digest) == ("ocr", 1, None)
    assert (stage.authorization, stage.architecture, stage.timeout_s) == ("iam", "x86_64", 29)
    assert stage.provisioned_concurrency is None


@pytest.mark.parametrize(
    ("stage", "sentence"),
    [
        ({"memory_mb": 64}, ".memory_mb is 64, but Lambda takes whole MB from 128 to 10240."),
        ({"memory_mb": 10241}, ".memory_mb is 10241, but Lambda takes whole MB from 128 to 10240."),
        ({"memory_mb": "1024"}, '.memory_mb is "1024", but Lambda takes whole MB from 128 to 10240.'),
        ({"memory_mb": True}, ".memory_mb is true, but Lambda takes whole MB from 128 to 10240."),
        ({"timeout_s": 30}, ".timeout_s is 30, but it takes whole seconds from 1 to 29"),
        ({"architecture": "arm"}, '.architecture is "arm", but Lambda has "x86_64" and "arm64".'),
        ({"authorization": "IAM"}, '.authorization is "IAM", but it takes "iam"'),
        (
            {"memmory_mb": 512},
            ".memmory_mb is no key (did you mean memory_mb?): known are api, authorization,",
        ),
        ({"a\nb": 1}, ".a\\nb is no key: known are api,"),
        ({"zzz": 1}, ".zzz is no key: known are api,"),
        ({"model": "ocr"}, '.model is "ocr", but a stage needs one: {"name": "ocr"}.'),
        ({"model": {}}, ".model.name is missing: a model's name has 1 to 63 lower-case letters"),
        ({"model": {"name": "OCR"}}, '.model.name is "OCR", but a model\'s name has 1 to 63 lower-case'),
        ({"model": {**MODEL, "version": 0}}, ".model.version is 0, but a version is the whole number"),
        ({"model": {"name": "ocr\n"}}, '.model.name is "ocr\\n", but a model\'s name has'),
        ({"model": {**MODEL, "digest": DIGEST + "\n"}}, "but a digest is the 64 hex digits"),
        ({"model": {**MODEL, "digest": "ab"}}, '.model.digest is "ab", but a digest is the 64 hex digits'),
        ({"model": {**MODEL, "digest": DIGEST.upper()}}, "but a digest is the 64 hex digits"),
        ({"model": {**MODEL, "digset": DIGEST}}, ".model.digset is no key (did you mean digest?)"),
        ({"provisioned_concurrency": 2}, ".provisioned_concurrency is 2, but it takes an object."),
        (
            {"provisioned_concurrency": {"min": 0}},
            ".provisioned_concurrency.min is 0, but the smallest number is 1",
        ),
        (
            {"provisioned_concurrency": {"min": 3, "max": 2}},
            ".provisioned_concurrency.min is 3, but max is 2:",
        ),
        (
            {"provisioned_concurrency": {"schedules": [{"cron": "0 8 * * *", "min": 2}]}},
            '.provisioned_concurrency.schedules is [{"cron": "0 8 * * *", "min": 2}], but it takes a list',
        ),
        (
            {"provisioned_concurrency": {"schedules": [{"cron": "0 8 ? * MON-FRI *", "min": 0}]}},
            "and the smallest min is 1.",
        ),
        (
            {"provisioned_concurrency": {"max": 5, "schedules": [{"cron": "0 8 ? * * *", "min": 6}]}},
            ".provisioned_concurrency.schedules[0].min is 6, but max is 5:",
        ),
        (
            {
                "reserved_concurrency": 5,
                "provisioned_concurrency": {
                    "max": 5,
                    "schedules": [{"cron": "0 8 ? * * *", "min": 1, "max": 9}],
                },
            },
            ".provisioned_concurrency.schedules[0].max is 9, but reserved_concurrency is 5,",
        ),
        ({"rollout": "canary"}, '.rollout is "canary", but it takes an object.'),
        ({"rollout": {"type": "slow"}}, '.rollout.type is "slow", but CodeDeploy has "all_at_once"'),
        ({"rollout": {"percent": 100}}, ".rollout.percent is 100, but it takes a whole number from 1 to 99."),
        (
            {"rollout": {"type": "linear", "percent": 1, "minutes": 60}},
            ".rollout takes 99 steps of 60 minutes, but CodeDeploy gives a deployment 2880 minutes:",
        ),
        (
            {"model": {**MODEL, "version": 7, "versions": [6, 7]}},
            ".model.versions has 7, but that is model.version itself: leave it out.",
        ),
        ({"model": {**MODEL, "versions": ["6"]}}, '.model.versions is ["6"], but it takes a list of up to 5'),
        (
            {"model": {**MODEL, "labels": {"Live": 1}}},
            '.model.labels is {"Live": 1}, but it takes an object of up to 5 labels and their versions like',
        ),
        ({"model": {**MODEL, "labels": {"live": "1"}}}, '.model.labels is {"live": "1"}, but it takes an'),
        (
            {"provisioned_concurrency": {"target_utilization": 1}},
            ".target_utilization is 1, but Application Auto",
        ),
        ({"throttling": {"rate": 0}}, ".throttling.rate is 0, but it takes requests per second"),
        ({"throttling": {"burst": 1.5}}, ".throttling.burst is 1.5, but it takes a whole number"),
        ({"alarms": {"p99_latency_ms": 0}}, ".alarms.p99_latency_ms is 0, but it takes whole milliseconds"),
        (
            {"transform": "ocr"},
            '.transform is "ocr", but it takes the class of your own code, like "transforms',
        ),
        ({"transform": "a:B\n"}, '.transform is "a:B\\n", but it takes'),
        ({"alarms": {"email": "me"}}, '.alarms.email is "me", but it takes one e-mail address.'),
        ({"tags": {"team": 1}}, '.tags is {"team": 1}, but it takes an object of strings'),
        ({"api": "soap"}, '.api is "soap", but it takes "http" or "rest"'),
        (
            {"authorization": "api_key"},
            '.authorization is "api_key", but only a REST API has keys: set api to "rest".',
        ),
        (
            {"authorization": "jwt", "api": "rest"},
            '.authorization is "jwt", but only an HTTP API checks tokens by itself: set api to "http".',
        ),
        ({"authorization": "jwt"}, '.authorization is "jwt", but jwt is missing: add {"issuer": "https://…"'),
        (
            {"jwt": {"issuer": "https://login.example.com", "audience": ["app"]}},
            '.jwt is there, but nobody asks for tokens: set authorization to "jwt".',
        ),
        (
            {"authorization": "jwt", "jwt": {"issuer": "http://x", "audience": ["app"]}},
            '.jwt.issuer is "http://x", but it takes the issuer\'s https address',
        ),
        ({"quota": {"limit": 5}}, ".quota counts the requests of API keys: set api"),
        ({"api_keys": ["shop"]}, ".api_keys is there, but nobody asks for keys: set api"),
        ({"api_keys": []}, ".api_keys is [], but it takes a list of one or more clients' names"),
        (
            {"web_acl_arn": "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/a/b"},
            ".web_acl_arn is there, but AWS WAF protects REST APIs only: set api",
        ),
        (
            {"api": "rest", "cors": {"origins": ["https://a.example.com", "https://b.example.com"]}},
            ".cors.origins has several, but a REST API answers every page with the same one: name one, or",
        ),
        (
            {
                "model": {
                    **MODEL,
                    "digest": DIGEST,
                    "shadow": {"version": 9, "digest": "f" * 64, "share": 0.1},
                },
                "api": "rest",
                "streaming": True,
            },
            ".model.shadow compares answers that are not streamed: take it or streaming out.",
        ),
        ({"streaming": True}, ".streaming is true, but only a REST API streams answers: set api to"),
        ({"cors": {"origins": ["example.com"]}}, '.cors.origins is ["example.com"], but it takes a list of'),
        ({"domain": {"name": "Example"}}, '.domain.name is "Example", but it takes a name like'),
        (
            {"reserved_concurrency": 5, "provisioned_concurrency": {"max": 6}},
            ".provisioned_concurrency.max is 6, but reserved_concurrency is 5, and no more can",
        ),
        ({"reserved_concurrency": 0}, ".reserved_concurrency is 0, but it takes a whole number"),
        ({"log_retention_days": 2}, ".log_retention_days is 2, but CloudWatch Logs takes 1, 3, 5, 7,"),
        ({"kms_key_arn": "alias/mine"}, '.kms_key_arn is "alias/mine", but it takes the ARN of a symmetric'),
        (
            {"image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/coldpress:latest"},
            '.amazonaws.com/coldpress:latest", but it takes the address of an image in ECR by its digest',
        ),
        (
            {"budget": {"monthly_usd": 5}},
            ".budget has nobody to tell: set alarms.email beside it.",
        ),
        (
            {"alarms": {"email": "a@example.com"}, "budget": {"monthly_usd": 5, "anomaly_usd": 0}},
            ".budget.anomaly_usd is 0, but it takes US dollars, above 0",
        ),
        ({"models": {"layout": {}}}, " has both model and models: move ocr into models."),
        ({"tags": {"aws:team": "a"}}, '.tags has the key "aws:team", but a tag\'s key has 1 to 128 letters'),
        ({"tags": {"team": "a\nb"}}, '.tags.team is "a\\nb", but a tag\'s value has up to 256 letters'),
    ],
)
def test_a_wrong_stage_is_told_where_and_what_is_right(stage: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load({"model": MODEL, **stage})
    message = str(caught.value)
    assert message.startswith("cdk.json: coldpress.dev")
    assert sentence in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        ({}, "cdk.json: the context has no object coldpress"),
        ({"coldpress": {}}, "cdk.json: the context has no object coldpress"),
        ({"coldpress": "{}"}, "cdk.json: the context has no object coldpress"),
        ({"coldpress": {"dev": None}}, "cdk.json: coldpress.dev is null, but it takes an object."),
        (
            {"coldpress": {"dev": {}}},
            'cdk.json: coldpress.dev.model is missing: a stage needs one: {"name": "ocr"}.',
        ),
        ({"coldpress": {"dev\n": {"model": MODEL}}}, "cdk.json: coldpress.dev\\n is no stage's name"),
        ({"coldpress": {"Prod": {"model": MODEL}}}, "cdk.json: coldpress.Prod is no stage's name"),
        (
            {"coldpress": {"prod": {"model": MODEL}}, "stage": "pord"},
            "-c stage=pord names no stage in cdk.json (did",
        ),
        (
            {"coldpress": {"dev": {"model": MODEL}}, "digest": DIGEST},
            "-c digest=… says nothing of which stage",
        ),
        (
            {"coldpress": {"dev": {"model": MODEL}}, "version": "2"},
            "-c version=… says nothing of which stage",
        ),
        (
            {"coldpress": {"dev": {"model": MODEL}}, "stage": "dev", "digest": "ab"},
            '-c digest is "ab", but a digest is the 64 hex digits that `coldpress push` printed.',
        ),
        (
            {"coldpress": {"dev": {"model": MODEL}}, "stage": "dev", "version": "two"},
            '-c version is "two", but a version is the whole number that `coldpress push` printed.',
        ),
    ],
)
def test_a_wrong_context_is_told_so(context: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load_stages(context)
    assert str(caught.value).startswith(sentence)


def test_the_command_line_selects_a_stage_and_overrides_its_pin() -> None:
    pinned = {"model": {"name": "ocr", "version": 3, "digest": "f" * 64}, "memory_mb": 512}
    context = {
        "coldpress": {"dev": pinned, "prod": pinned},
        "stage": "prod",
        "digest": DIGEST,
        "version": "12",
    }
    stages = load_stages(context)
    assert list(stages) == ["prod"]
    assert (stages["prod"].model.version, stages["prod"].model.digest) == (12, DIGEST)
    assert stages["prod"].memory_mb == 512


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        ({"ocr": {"memory_mb": 64}}, ".models.ocr.memory_mb is 64, but Lambda takes whole MB"),
        ({"ocr": {"digest": "ab"}}, '.models.ocr.digest is "ab", but a digest is the 64 hex digits'),
        ({"OCR": {}}, ".models.OCR is no model's name: a model's name has 1 to 63"),
        ({"a\nb": {}}, ".models.a\\nb is no model's name"),
        ({"ocr": {"memmory_mb": 1}}, ".models.ocr.memmory_mb is no key (did you mean memory_mb?)"),
        ({"ocr": {"cors": {}}}, ".models.ocr.cors is the stage's, whose models share one API: put it beside"),
        ({"ocr": {"throttling": {"rate": 5}}}, ".models.ocr.throttling is a model's own, but the limits of"),
        ({"ocr": 3}, '.models is {"ocr": 3}, but it takes an object of models by name'),
        (
            {"a-1": {}, "a1": {}},
            ".models has a-1 and a1, whose outputs would have the same names: rename one.",
        ),
        ({}, ".model is missing: a stage needs one"),
    ],
)
def test_a_wrong_model_among_several_is_told_where(models: Any, sentence: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load({"models": models})
    assert str(caught.value).startswith(f"cdk.json: coldpress.dev{sentence}")
    assert "\n" not in str(caught.value)


def test_what_stands_beside_models_holds_for_each_and_a_models_own_wins() -> None:
    stage = load(
        {
            "memory_mb": 512,
            "alarms": {"email": "a@example.com", "errors": 7},
            "provisioned_concurrency": {"min": 2},
            "models": {
                "ocr": {"digest": DIGEST, "version": 4, "alarms": {"errors": 3}},
                "layout": {"memory_mb": 3008, "provisioned_concurrency": None},
            },
        }
    )
    ocr, layout = endpoints(stage)
    assert (ocr.model.name, ocr.model.version, ocr.model.digest) == ("ocr", 4, DIGEST)
    assert (ocr.memory_mb, layout.memory_mb) == (512, 3008)
    assert (ocr.alarms.errors, layout.alarms.errors) == (3, 7)
    assert ocr.alarms.email == layout.alarms.email == "a@example.com"
    assert ocr.provisioned_concurrency == ProvisionedConcurrency(min=2)
    assert layout.provisioned_concurrency is None
    assert stage.model is None


def test_the_command_line_overrides_one_of_several_models() -> None:
    coldpress = {"dev": {"models": {"ocr": {"digest": "f" * 64}, "layout": {}}}}
    context = {"coldpress": coldpress, "stage": "dev", "digest": DIGEST, "version": "12"}
    ocr, layout = endpoints(load_stages({**context, "model": "layout"})["dev"])
    assert ocr.model.digest == "f" * 64
    assert (layout.model.version, layout.model.digest) == (12, DIGEST)
    with pytest.raises(InvalidConfig, match=r"several models: add -c model=NAME, one of ocr, layout\."):
        load_stages(context)
    with pytest.raises(InvalidConfig, match=r"-c model=layuot names no model .*did you mean layout\?"):
        load_stages({**context, "model": "layuot"})


def test_a_configuration_made_in_python_is_checked_as_well() -> None:
    config = EndpointConfig(model=Model(name="ocr"), provisioned_concurrency=ProvisionedConcurrency(min=0))
    with pytest.raises(InvalidConfig, match=r"^App/Ocr\.provisioned_concurrency\.min is 0, but"):
        check_config(config, "App/Ocr")


_KEYS = st.sampled_from(
    [
        *("model", "memory_mb", "timeout_s", "architecture", "provisioned_concurrency", "authorization"),
        *("throttling", "alarms", "tags", "name", "version", "digest", "min", "max", "rate", "email"),
        *("models", "api", "jwt", "cors", "quota", "api_keys", "domain", "budget", "ocr", "origins"),
    ]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_KEYS | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.dictionaries(_KEYS, _JSON, max_size=5), st.booleans())
def test_whatever_stands_in_cdk_json_is_loaded_or_refused_in_one_sentence(raw: Any, has_model: bool) -> None:
    stage = {**raw, "model": MODEL} if has_model else raw
    sentence = refusal(stage)
    assert sentence is None or (sentence.startswith("cdk.json: coldpress.dev") and "\n" not in sentence)


def refusal(stage: Any) -> str | None:
    try:
        load(stage)
    except InvalidConfig as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("registry", "sentence"),
    [
        (
            {"kms_key_arn": "alias/mine"},
            '.kms_key_arn is "alias/mine", but it takes the ARN of a symmetric KMS',
        ),
        ({"kms_key": "x"}, ".kms_key is no key (did you mean kms_key_arn?): known are kms_key_arn."),
        (None, " is null, but it takes an object."),
    ],
)
def test_a_wrong_registry_is_told_where(registry: Any, sentence: str) -> None:
    context = {"coldpress": {"dev": {"model": MODEL}, "registry": registry}}
    assert list(load_stages(context)) == ["dev"]
    with pytest.raises(InvalidConfig) as caught:
        load_registry(context)
    assert str(caught.value).startswith(f"cdk.json: coldpress.registry{sentence}")


def test_a_registry_alone_is_no_stage() -> None:
    with pytest.raises(InvalidConfig, match="has no object coldpress with a stage in it"):
        load_stages({"coldpress": {"registry": {}}})
