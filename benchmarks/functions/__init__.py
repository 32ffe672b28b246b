"""Lambda functions as others write them: the peers of `make bench-cold`, one environment each."""

_RUNTIME = ("onnxruntime==1.32.0", "awslambdaric==4.2.2")
PACKAGES = {
    "plain": _RUNTIME,
    "plain-boto3": (*_RUNTIME, "boto3==1.44.5"),
    "web": (*_RUNTIME, "fastapi", "mangum"),
}
