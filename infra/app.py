"""The CDK app: ``cdk synth`` and ``cdk deploy`` start it as ``python -m infra.app``.

Synthesis is hermetic: no account, no bucket, no network. What is deployed stands in cdk.json alone.
"""

import sys

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks, ServerlessChecks

from infra.config import EndpointConfig, InvalidConfig, RegistryConfig, StageConfig
from infra.endpoint_stack import EndpointStack
from infra.registry_stack import STACK_NAME, RegistryStack
from infra.stages import endpoints, load_registry, load_stages
from monitoring.cost import US_EAST_1, Watching, monthly_usd

_CONTEXT_KEYS = ("coldpress", "stage", "model", "digest", "version")


def main() -> int:
    """Synthesise, or say in one sentence what is wrong with the configuration and write nothing."""
    # Without auto_synth=False jsii's process would synthesise on its way out, whatever this function decided.
    app = App(auto_synth=False)
    try:
        context = {key: app.node.try_get_context(key) for key in _CONTEXT_KEYS}
        stages, registry = load_stages(context), load_registry(context)
    except InvalidConfig as error:
        sys.stderr.write(f"{error}\n")
        return 1
    build(app, stages, registry)
    app.synth()
    return 0


def build(app: App, stages: dict[str, StageConfig], registry: RegistryConfig) -> None:
    """Add the registry's stack, and one for every stage that has a model to serve."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), ServerlessChecks(app))
    registry_stack = RegistryStack(app, STACK_NAME, config=registry)
    for name, config in stages.items():
        models = endpoints(config)
        for model in models:
            if model.model.digest is None:
                sys.stderr.write(_left_out(name, model.model.name))
        deployed = [model for model in models if model.model.digest is not None]
        if not deployed:
            sys.stderr.write(f"The stage {name} has no model yet, so coldpress-{name} is left out.\n")
            continue
        for model in deployed:
            if model.monitor is not None:
                sys.stderr.write(_watching(name, model))
        stack = EndpointStack(
            app, f"coldpress-{name}", stage=name, config=config, models=deployed, registry=registry
        )
        stack.add_stack_dependency(registry_stack)


def _watching(stage: str, config: EndpointConfig) -> str:
    monitor = config.monitor
    assert monitor is not None  # noqa: S101 - see above
    watching = Watching(monitor.every_minutes, monitor.memory_mb, rolls_back=monitor.roll_back)
    return (
        f"Watching {config.model.name} of the stage {stage} costs {monthly_usd(watching, US_EAST_1):.2f} USD "
        "a month (us-east-1), and a little for each captured request; `coldpress cost --monitor` says which "
        "share of serving it is.\n"
    )


def _left_out(stage: str, model: str) -> str:
    return (
        f"The model {model} of the stage {stage} has no bundle yet and is left out: "
        f"deploy {STACK_NAME}, then run `coldpress push BUNDLE --pin {stage}`.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
