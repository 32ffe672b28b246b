"""What asks a new version before any client does, and stops a deployment whose answers are wrong.

app.py          Lambda's entry: a lifecycle hook of CodeDeploy, or a custom resource of CloudFormation
check.py        one version against its bundle: answers, latency, provisioned concurrency
samples.py      golden.npz, and how far answers may be from it
requests.py     a sample as an event of API Gateway, and the answer to it
resources.py    how CloudFormation is answered

It runs in the endpoint's image by AWS's runtime client, with the boto3 that AWS's base image has.
"""
