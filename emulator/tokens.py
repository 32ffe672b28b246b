"""JSON Web Tokens, checked as an HTTP API's JWT authorizer does: signature, issuer, audience and times."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from emulator.clock import CLOCK

_ALGORITHMS = ["RS256", "RS384", "RS512"]
_SECONDS = 5


class InvalidToken(Exception):
    """Nobody may come in with this."""


@dataclass(frozen=True)
class Issuer:
    """Whose tokens are taken, and for whom they must be."""

    url: str
    audience: tuple[str, ...]

    def claims(self, authorization: str) -> dict[str, Any]:
        """What the token in an Authorization header says.

        Raises:
            InvalidToken: there is none, it is not this issuer's, not for this audience, or not valid now.
        """
        token = authorization.removeprefix("Bearer ").strip()
        try:
            claims: dict[str, Any] = jwt.decode(token, self._keys(), algorithms=_ALGORITHMS).claims
        except (JoseError, ValueError, OSError) as error:
            raise InvalidToken(str(error)) from None
        audience = claims.get("aud", claims.get("client_id", ()))
        named = {audience} if isinstance(audience, str) else set(audience)
        now = CLOCK.now()
        if (
            claims.get("iss") != self.url
            or not named & set(self.audience)
            or not claims.get("nbf", 0) <= now < claims.get("exp", 0)
        ):
            raise InvalidToken("its issuer, audience or time is wrong")
        return claims

    def _keys(self) -> KeySet:
        configuration = _fetch(f"{self.url.rstrip('/')}/.well-known/openid-configuration")
        return KeySet.import_key_set(_fetch(configuration["jwks_uri"]))


def _fetch(url: str) -> Any:
    if not url.startswith(("https://", "http://")):
        raise InvalidToken(f"{url} is no address of an issuer")
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310 - checked above
            return json.load(answer)
    except urllib.error.URLError as error:
        raise InvalidToken(f"{url}: {error}") from None
