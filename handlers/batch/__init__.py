"""What a batch runs beside the endpoint: one object's request answered, and a list of what failed.

app.py      Lambda's entry, for AWS's runtime client
item.py     one object: read, asked, its answer written
report.py   the objects that failed, and why, from what Step Functions wrote

It runs in the endpoint's image by AWS's runtime client, with the boto3 that AWS's base image has.
"""
