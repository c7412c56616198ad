"""What botocore raises, as errors of ours."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from hil.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.exceptions import ClientError

__all__ = ["aws_code", "code_of", "refusals"]

HINTS = {
    "ThrottlingException": "too many requests for this account; run again, what is done is kept",
    "UnauthorizedException": "the credentials may not do this; see the account's IAM policy",
    "AccessDeniedException": "the credentials may not do this; see the account's IAM policy",
    "ExpiredTokenException": "the credentials have expired; log in again",
    "LimitExceededException": "the account is full; delete what is not needed or have the quota raised",
}


def code_of(error: ClientError) -> str:
    """The name of the error as AWS gives it, e.g. ``ResourceNotFoundException``."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def aws_code(error: CloudError) -> str:
    """The name of the AWS error behind ``error``; of a connection that failed botocore's; else empty."""
    from botocore.exceptions import BotoCoreError, ClientError

    cause = error.__cause__
    if isinstance(cause, ClientError):
        return code_of(cause)
    return type(cause).__name__ if isinstance(cause, BotoCoreError) else ""


@contextmanager
def refusals(doing: str) -> Iterator[None]:
    """Turn what botocore raises into :class:`~hil.errors.CloudError`.

    Args:
        doing: what was tried, e.g. ``"create thing hil-1"``.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = code_of(error)
        message = error.response.get("Error", {}).get("Message", "no reason given")
        raise CloudError(f"cannot {doing}: {code}: {message}", hint=HINTS.get(code)) from error
    except BotoCoreError as error:
        raise CloudError(f"cannot {doing}: {error}") from error
