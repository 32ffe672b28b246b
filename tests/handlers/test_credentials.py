"""Credentials from the environment or the container's endpoint, or one sentence; never shown."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from handlers.inference.errors import InitError
from handlers.inference.fetch.credentials import credentials_from
from handlers.inference.fetch.retries import Patience

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-central-1"}
IMPATIENT = Patience(tries=3, read=0.3, start=0.5, backoff=0.01)
GOOD = {"AccessKeyId": "ASIA", "SecretAccessKey": "hidden", "Token": "tok==", "Expiration": "2030-01-01"}
FULL, TOKEN = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"


@pytest.mark.parametrize("missing", ENVIRONMENT)
def test_a_missing_variable_is_named(missing):
    environ = {name: value for name, value in ENVIRONMENT.items() if name != missing}
    with pytest.raises(InitError, match=missing):
        credentials_from(environ)


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_a_line_end_in_a_variable_is_refused_and_not_shown(name):
    with pytest.raises(InitError, match="such as a line's end") as caught:
        credentials_from({**ENVIRONMENT, name: "hidden\nx: y"})
    assert "hidden" not in str(caught.value)


def test_secrets_are_not_shown():
    credentials = credentials_from({**ENVIRONMENT, "AWS_SESSION_TOKEN": "token"})
    assert credentials.session_token == "token"
    assert "secret" not in repr(credentials)
    assert "token" not in repr(credentials)


class Endpoint(ThreadingHTTPServer):
    """The container's endpoint: answers with what ``answers`` holds, the last again and again."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, bytes]] = [(200, json.dumps(GOOD).encode())]
        self.asked: list[tuple[str, str | None]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("authorization")))
        answers = self.server.answers
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def ask(endpoint: Endpoint, **variables: str):
    environ = {"AWS_REGION": "eu-central-1", FULL: f"http://127.0.0.1:{endpoint.server_port}/v1/creds?a=b"}
    return credentials_from({**environ, **variables}, IMPATIENT)


def test_from_the_containers_endpoint(endpoint):
    found = ask(endpoint, **{TOKEN: "Basic abc"})
    assert (found.access_key, found.secret_key, found.session_token) == ("ASIA", "hidden", "tok==")
    assert endpoint.asked == [("/v1/creds?a=b", "Basic abc")]


def test_the_token_from_a_file_comes_first(endpoint, tmp_path):
    (tmp_path / "token").write_text("from the file\n")
    ask(endpoint, **{TOKEN: "Basic abc", f"{TOKEN}_FILE": str(tmp_path / "token")})
    assert endpoint.asked == [("/v1/creds?a=b", "from the file")]


def test_the_environments_own_come_first(endpoint):
    assert ask(endpoint, **ENVIRONMENT).access_key == "AKIA"
    assert endpoint.asked == []


def test_an_endpoint_that_fails_is_asked_again(endpoint):
    endpoint.answers.insert(0, (500, b""))
    assert ask(endpoint).access_key == "ASIA"
    endpoint.answers = [(403, b"hidden")]
    with pytest.raises(
        InitError, match=f"that {FULL} points to could not be read in 3 tries .*status 403"
    ) as e:
        ask(endpoint)
    assert "hidden" not in str(e.value)


@pytest.mark.parametrize(
    "body",
    [
        b"hidden",
        b"[]",
        b"{}",
        b'{"AccessKeyId": 1, "SecretAccessKey": "hidden", "Token": "t"}',
        json.dumps({**GOOD, "Token": "hidden\r\nx: y"}).encode(),
        b'{"AccessKeyId": "ASIA"}' + b" " * 100_000,
    ],
)
def test_what_is_not_credentials_is_refused_and_not_shown(endpoint, body):
    endpoint.answers = [(200, body)]
    with pytest.raises(InitError, match=r"are not what AWS describes") as caught:
        ask(endpoint)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("host", ["example.org", "169.254.169.254", "127.0.0.1.example.org", "10.0.0.1"])
def test_other_machines_are_not_asked_over_http(host):
    environ = {"AWS_REGION": "eu-central-1", FULL: f"http://{host}/creds"}
    with pytest.raises(InitError, match="must be asked over https"):
        credentials_from(environ, IMPATIENT)


def test_a_token_with_a_line_end_is_refused(endpoint, tmp_path):
    (tmp_path / "token").write_text("one\ntwo")
    for variables in ({TOKEN: "one\r\ntwo"}, {f"{TOKEN}_FILE": str(tmp_path / "token")}):
        with pytest.raises(InitError, match="holds no token"):
            ask(endpoint, **variables)
    with pytest.raises(InitError, match="cannot be read"):
        ask(endpoint, **{f"{TOKEN}_FILE": str(tmp_path / "nowhere")})
    assert endpoint.asked == []
