"""Error categories: which of the ten a status, a text or an exception belongs to. Pure.

Structure comes first (exception type, HTTP status, provider code, SQLSTATE); the text of a message is
only the fallback, in the order of the seeds' words (contract §3) but with word boundaries, so that
"Author field missing" is no login problem and message 429 is no throttling (known fault B19).
All three functions are total: every input gets exactly one category, and none of them raises.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from chunk_sync.errors import ErrorCategory, ProviderError

_C = ErrorCategory

# What providers call their errors, as whole words in lower case. They say more than any prose around them.
_PROVIDER_CODES: dict[str, ErrorCategory] = {
    name: category
    for category, names in {
        _C.TIMEOUT: "gatewaytimeout errortimeoutexpired deadline_exceeded etimedout esockettimedout",
        _C.RATE_LIMIT: (
            "applicationthrottled mailboxconcurrency toomanyrequests activitylimitreached bandwidthlimitexceeded "
            "errorserverbusy userratelimitexceeded ratelimitexceeded dailylimitexceeded quotaexceeded "
            "resource_exhausted throttled overquota"
        ),
        _C.NETWORK: (
            "econnreset econnrefused econnaborted enotfound eai_again ehostunreach enetunreach enetdown epipe "
            "und_err_socket err_stream_premature_close"
        ),
        _C.TEMPORARY: (
            "errorinternalservertransienterror mailboxinfostale backenderror failedprecondition "
            "deadlock serverbug inuse"
        ),
        _C.AUTH: (
            "invalid_grant invalid_client invalidauthenticationtoken autherror unauthenticated "
            "authenticationfailed privacyrequired webalert"
        ),
        _C.PERMISSION: (
            "erroraccessdenied accessdenied authorization_requestdenied authorizationfailed "
            "insufficientpermissions domainpolicy permission_denied noperm eacces eperm "
            "mailboxnotenabledforrestapi errorquotaexceeded"
        ),
        _C.NOT_FOUND: "erroritemnotfound itemnotfound notfound nonexistent enoent resourcenotfound",
        _C.DATA_CONFLICT: (
            "errorirresolvableconflict syncstatenotfound resyncrequired syncstateinvalid "
            "invalidsyncstatedata expungeissued"
        ),
    }.items()
    for name in names.split()
}
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{4,}")

_BY_STATUS: dict[int, ErrorCategory] = {
    401: _C.AUTH,
    403: _C.PERMISSION,
    404: _C.NOT_FOUND,
    408: _C.TIMEOUT,
    409: _C.DATA_CONFLICT,
    410: _C.DATA_CONFLICT,  # a resync signal: connectors catch it before it counts as a failure
    412: _C.DATA_CONFLICT,
    429: _C.RATE_LIMIT,
    504: _C.TIMEOUT,
    507: _C.RATE_LIMIT,
}
# Statuses that say too little by themselves: a known provider code decides before them.
_VAGUE_STATUS = frozenset({None, 400, 403, 404, 422, 500, 502, 503, 509})

# A number counts as a status only where it is called one: "HTTP 429", "status code: 503", "(404)",
# "429 Too Many Requests". A message or an id that happens to be 429 does not.
_CALLED_A_STATUS = re.compile(
    r"(?:\bhttps?(?:/\d(?:\.\d)?)?|\b(?:status|code|error|response|returned|answered))"
    r"(?:[ _]code)?[\s:=#(]{1,3}([45]\d\d)(?![\w-]|\.\d)|\(([45]\d\d)\)|^\s*([45]\d\d)\s*$"
)
_STATUS_WITH_PHRASE = re.compile(
    r"(?<![\w.-])(?:" + "|".join(f"{s.value} {re.escape(s.phrase.lower())}" for s in HTTPStatus) + r")\b"
)

# The seeds' words in the seeds' order.
_WORDS: tuple[tuple[ErrorCategory, re.Pattern[str]], ...] = (
    (_C.TIMEOUT, re.compile(r"time[ -]?outs?(?![a-z])|timed[ -]?out|deadline exceeded")),
    (
        _C.RATE_LIMIT,
        re.compile(
            r"\brate[ -]?limit|too many (?:requests|(?:\w+ )?connections)|\bthrottl"
            r"|maximum number of connections|bandwidth limit|mailboxconcurrency"
        ),
    ),
    (_C.NETWORK, re.compile(r"\bnetwork|connection|\bdns\b|name resolution|\bunreachable\b|broken pipe")),
    (_C.TEMPORARY, re.compile(r"\btemporar(?:y|ily)\b|unavailable\b|\bdeadlock|could not serialize")),
    (
        _C.AUTH,
        re.compile(
            r"\b(?:x?o)?auth2?\b|\bauth(?:entication|enticated?|orization|orized)\b"
            r"|\bun(?:authorized|authorised|authenticated)\b|\bcredentials?\b"
            # A token of a listing or of a grammar is no credential.
            r"|(?<!skip )(?<!sync )(?<!delta )(?<!page )(?<!continuation )(?<!unexpected )\btokens?\b"
        ),
    ),
    (_C.PERMISSION, re.compile(r"\bpermissions?\b|\baccess\b|\bforbidden\b|\bnot permitted\b")),
    (_C.NOT_FOUND, re.compile(r"\bnot found\b|\bdoes(?: not|n't) exist\b|\bno such\b")),
    (_C.DATA_CONFLICT, re.compile(r"\bduplicate|\bconflict")),
)

_CAUSES = 5  # how far to follow `raise ... from`: wrappers are not deeper, and a chain may be a circle
_TEXT_LIMIT = 4_000  # nobody explains an error beyond this, and the patterns stay cheap


def categorize_text(message: str | None) -> ErrorCategory:
    """Read a category out of an error text: the fallback when there is no structure."""
    if message is None or not message.strip():
        return _C.UNKNOWN
    return match_text(message) or _C.PROCESSING_ERROR


def match_text(message: str) -> ErrorCategory | None:
    """Read a category out of an error text; None when no rule knows the text."""
    text = message[:_TEXT_LIMIT].lower()
    for word in _IDENTIFIER.findall(text):
        if word in _PROVIDER_CODES:
            return _PROVIDER_CODES[word]
    status = _status_in(text)
    if status is not None:
        return categorize_status(status)
    return next((category for category, words in _WORDS if words.search(text)), None)


def categorize_status(http_status: int | None, provider_code: str | None = None) -> ErrorCategory:
    """Categorize an HTTP status and the provider's own code for the error, if it gave one."""
    by_code = _category_of_code(provider_code)
    if by_code is not None and (http_status in _VAGUE_STATUS or by_code is _C.RATE_LIMIT):
        return by_code
    if http_status is None:
        return categorize_text(provider_code)
    if http_status in _BY_STATUS:
        return _BY_STATUS[http_status]
    if 500 <= http_status <= 599:  # noqa: PLR2004  the class of server errors
        return _C.TEMPORARY
    return _C.PROCESSING_ERROR


def categorize_exception(exc: BaseException) -> ErrorCategory:
    """Categorize a Python exception: by its own category, its type, its SQLSTATE or status, then its text."""
    current: BaseException | None = exc
    for _ in range(_CAUSES):
        if current is None:
            break
        found = _by_structure(current)
        if found is not None:
            return found
        current = current.__cause__
    return categorize_text(_text_of(exc))


def _by_structure(exc: BaseException) -> ErrorCategory | None:
    if isinstance(exc, ProviderError):
        return exc.category
    return _by_sqlstate(exc) or _by_type(exc) or _by_http(exc)


def _by_type(exc: BaseException) -> ErrorCategory | None:
    by_type: tuple[tuple[tuple[type[BaseException], ...], ErrorCategory], ...] = (
        ((TimeoutError,), _C.TIMEOUT),
        ((ConnectionError,), _C.NETWORK),
        ((PermissionError,), _C.PERMISSION),
        ((FileNotFoundError, NotADirectoryError, IsADirectoryError), _C.NOT_FOUND),
        ((FileExistsError,), _C.DATA_CONFLICT),
        ((OSError,), _C.NETWORK),  # also socket.gaierror and ssl.SSLError; full and failing disks just below
        ((MemoryError, RecursionError, EOFError), _C.PROCESSING_ERROR),
        # Mistakes in code or data. Their text quotes data ("KeyError: 'token'"), so it must not be read.
        ((ValueError, LookupError, TypeError, AttributeError, ArithmeticError), _C.PROCESSING_ERROR),
        ((AssertionError, NotImplementedError, NameError), _C.PROCESSING_ERROR),
    )
    # The exact types only: SSL errors have numbers of their own in `errno`.
    if type(exc) in (OSError, BlockingIOError) and isinstance(exc, OSError) and exc.errno in _DISK_ERRNOS:
        return _C.TEMPORARY
    return next((category for types, category in by_type if isinstance(exc, types)), None)


# EIO, ENFILE, EMFILE, EAGAIN, ENOMEM, EBUSY, ENOSPC, EROFS, EDQUOT: the machine's trouble, not the line's.
_DISK_ERRNOS = frozenset({5, 11, 12, 16, 23, 24, 28, 30, 122})

_SQLSTATES: tuple[tuple[str, ErrorCategory], ...] = (
    ("40", _C.TEMPORARY),  # serialization failure, deadlock
    ("08", _C.TEMPORARY),  # the connection to our own database
    ("57014", _C.TIMEOUT),  # statement timeout
    ("57", _C.TEMPORARY),  # shutdown, restart, crash recovery
    ("53", _C.TEMPORARY),  # disk full, out of memory, too many connections
    ("55", _C.TEMPORARY),  # lock not available
    ("58", _C.TEMPORARY),  # I/O error of the server
    ("23", _C.DATA_CONFLICT),
    ("28", _C.AUTH),
    ("42501", _C.PERMISSION),
)


def _by_sqlstate(exc: BaseException) -> ErrorCategory | None:
    """Recognise a database error by duck typing: this room knows no driver."""
    for candidate in (exc, getattr(exc, "orig", None)):
        for attribute in ("sqlstate", "pgcode"):
            state = getattr(candidate, attribute, None)
            if isinstance(state, str):
                found = next((category for prefix, category in _SQLSTATES if state.startswith(prefix)), None)
                return found or _C.PROCESSING_ERROR
        if hasattr(candidate, "sqlstate") and type(candidate).__name__ == "OperationalError":
            return _C.TEMPORARY  # a driver that lost the server has no state to report
    return None


def _by_http(exc: BaseException) -> ErrorCategory | None:
    for owner in (exc, getattr(exc, "response", None)):
        for attribute in ("status_code", "status"):
            status = getattr(owner, attribute, None)
            if isinstance(status, int) and 400 <= status <= 599:  # noqa: PLR2004  HTTP's error classes
                return categorize_status(status)
    return None


def _category_of_code(code: str | None) -> ErrorCategory | None:
    if not code:
        return None
    words = _IDENTIFIER.findall(code[:_TEXT_LIMIT].lower())
    return next((_PROVIDER_CODES[word] for word in words if word in _PROVIDER_CODES), None)


def _status_in(text: str) -> int | None:
    called = _CALLED_A_STATUS.search(text)
    if called:
        return int(next(number for number in called.groups() if number))
    phrase = _STATUS_WITH_PHRASE.search(text)
    status = int(phrase.group()[:3]) if phrase else 0
    return status if status >= 400 else None  # noqa: PLR2004  below are no errors


def _text_of(exc: BaseException) -> str:
    """Join the exception's texts without calling its `__str__`, which may raise."""
    texts: list[str] = []
    for argument in exc.args:
        if isinstance(argument, str):
            texts.append(argument)
        elif isinstance(argument, bytes):
            texts.append(argument.decode("utf-8", "replace"))
    return " ".join(texts)
