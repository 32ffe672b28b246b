from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.inference.fetch.credentials import Credentials
from handlers.inference.fetch.sigv4 import encode_path, presign_put, sign_get

printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@given(
    access_key=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=16, max_size=20),
    secret_key=printable,
    session_token=st.none() | printable,
    region=st.sampled_from(["eu-central-1", "us-east-1", "cn-north-1"]),
    key=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30),
    host=st.sampled_from(["models.s3.eu-central-1.amazonaws.com", "localhost:5000"]),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_the_signature_is_botocores(**drawn):
    check_against_botocore(**drawn)


def check_against_botocore(*, access_key, secret_key, session_token, region, key, host):
    path = encode_path(f"/{key}")
    theirs = AWSRequest("GET", f"https://{host}{path}")
    theirs.headers["host"] = host
    S3SigV4Auth(BotoCredentials(access_key, secret_key, session_token), "s3", region).add_auth(theirs)
    now = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = sign_get(host, path, Credentials(access_key, secret_key, session_token, region), now.timestamp())
    assert ours["authorization"] == theirs.headers["Authorization"]
    assert ours.get("x-amz-security-token") == theirs.headers.get("X-Amz-Security-Token")


@given(
    secret_key=printable,
    session_token=st.none() | printable,
    key=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30),
    host=st.sampled_from(["models.s3.eu-central-1.amazonaws.com", "localhost:5000"]),
    size=st.integers(1, 2**40),
    seconds=st.integers(1, 604_800),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_a_presigned_put_is_botocores(**drawn):
    check_put_against_botocore(**drawn)


def check_put_against_botocore(*, secret_key, session_token, key, host, size, seconds):
    path = encode_path(f"/{key}")
    theirs = AWSRequest("PUT", f"https://{host}{path}", headers={"content-length": str(size)})
    credentials = BotoCredentials("AKIDEXAMPLE", secret_key, session_token)
    S3SigV4QueryAuth(credentials, "s3", "eu-central-1", expires=seconds).add_auth(theirs)
    expected = dict(parse_qsl(urlsplit(theirs.url).query))
    now = datetime.strptime(expected["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = Credentials("AKIDEXAMPLE", secret_key, session_token, "eu-central-1")
    query = presign_put(host, path, size, seconds, ours, now.timestamp())
    assert dict(parse_qsl(query, strict_parsing=True)) == expected
    assert expected["X-Amz-SignedHeaders"] == "content-length;host"
