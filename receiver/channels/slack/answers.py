"""What Slack's answers mean for a delivery: `ok: false` with its code, or a status that is not 200."""

from __future__ import annotations

from typing import Any, Final

from slack_sdk.errors import SlackApiError

from deploywatch.receiver.channels import errors
from deploywatch.receiver.messages import DeliveryError
from deploywatch.secrets import Masked

CREDENTIALS: Final = frozenset(
    {
        "access_denied",
        "account_inactive",
        "ekm_access_denied",
        "invalid_auth",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "not_authed",
        "token_expired",
        "token_revoked",
        "two_factor_setup_required",
    }
)
REJECTED: Final = frozenset(
    {
        "cant_update_message",
        "channel_not_found",
        "channel_type_not_supported",
        "edit_window_closed",
        "invalid_arg_name",
        "invalid_arguments",
        "is_archived",
        "messages_tab_disabled",
        "method_deprecated",
        "msg_too_long",
        "no_text",
        "not_in_channel",
        "restricted_action",
        "restricted_action_non_threadable_channel",
        "restricted_action_read_only_channel",
        "restricted_action_thread_locked",
        "restricted_action_thread_only_channel",
        "team_access_not_granted",
    }
)
BLOCKS: Final = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"})
"""What Slack has against the shape of a message: its words may be taken all the same."""
RATE_LIMITED: Final = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
TIMEOUT: Final = frozenset({"request_timeout"})
LOST_THREAD: Final = frozenset(
    {"cannot_reply_to_message", "invalid_thread_ts", "message_not_found", "thread_not_found"}
)


class LostThreadError(DeliveryError):
    """The thread's first message is gone."""


class RefusedBlocksError(DeliveryError):
    """Slack does not take the blocks; the message can go as plain text."""


def failure(error: SlackApiError, *, threaded: bool, secrets: tuple[Masked, ...]) -> DeliveryError:
    """What `ok: false`, or a status that is not 200, means."""
    response: Any = error.response
    status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0) or 0)
    data = getattr(response, "data", None)
    code = str(data.get("error", "")) if isinstance(data, dict) else ""
    detail = errors.scrub(code, secrets)
    # Slack says it by the status or in a body with 200, depending on the method.
    if status == 429 or code in RATE_LIMITED:
        return errors.from_status(429, detail, after=errors.retry_after(getattr(response, "headers", {})))
    if status != 200:
        return errors.from_status(status, detail)
    return _refusal(code, detail, threaded=threaded)


def _refusal(code: str, detail: str, *, threaded: bool) -> DeliveryError:
    sentence = f"Slack says {detail[: errors.DETAIL_LIMIT]}"
    # Without a thread there is nothing to begin anew: the same words mean that the message itself is at fault.
    if threaded and code in LOST_THREAD:
        return LostThreadError("rejected", sentence, again=True)
    if code in BLOCKS:
        return RefusedBlocksError("rejected", sentence, again=False)
    if code in CREDENTIALS:
        return DeliveryError("credentials", sentence, again=False)
    if code in REJECTED or code in LOST_THREAD:
        return DeliveryError("rejected", sentence, again=False)
    if code in TIMEOUT:
        return DeliveryError("timeout", sentence, again=True)
    # internal_error, fatal_error, service_unavailable, and codes that Slack adds later: another try costs little.
    return DeliveryError("server", sentence if code else "the answer is not Slack's", again=True)
