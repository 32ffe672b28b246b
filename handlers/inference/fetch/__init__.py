"""Objects from S3 without an SDK: signing in ``sigv4``, transfer in ``s3``."""
