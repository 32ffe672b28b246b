"""What asks a new version before any client does, and stops a deployment whose answers are wrong.

app.py          Lambda's entry: a lifecycle hook of CodeDeploy, or a custom resource of CloudFormation
check.py        one version against its bundle: answers, latency, provisioned concurrency
samples.py      golden.npz, and how far answers may be from it
requests.py     a sample as a request, and the answer to it as tensors
resources.py    how CloudFormation is answered
versions.py     an alias for each release, and which old versions go

It runs in the endpoint's image by AWS's runtime client, with the boto3 that AWS's base image has.
"""
