"""Objects from S3, and what is sent to other services, without an SDK.

download.py     a large object into memory by parallel ranges, hashed while it arrives
s3.py           one bucket: where it is, how a request is signed, what a refusal means
sigv4.py        AWS's signature for a GET, and for a PUT that a client sends
aws.py          any other service, by POST
credentials.py  from the environment, or the container's endpoint
retries.py      how often and how long to try; connections that are kept
http.py         GETs and POSTs over a socket
tls.py          the same over TLS
"""
