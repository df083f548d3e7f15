"""The exceptions that this package raises deliberately.

StarcoderError
├── SettingsError            an invalid setting; the message has its name and its source
├── ModelError               the checkpoint cannot be used
│   ├── ModelNotFound        no such folder, or no such model on the Hub
│   │   ├── HubUnreachable   no connection, and files are missing
│   │   └── DiskFull         no space for the download
│   ├── ModelGated           a licence must be accepted or a token provided first
│   │   └── TokenRejected    the Hub does not accept the token
│   ├── ModelUnsupported     the architecture or the tokenizer is not supported
│   ├── ModelInvalid         files are missing, truncated or unsafe
│   └── AdapterInvalid       the adapter, not the base model, cannot be used
├── EngineError              the running model
│   ├── EngineNotReady       still loading, or loading failed
│   ├── EngineClosed         used after it was closed
│   ├── OutOfMemory          not enough memory on the device or the host
│   ├── EngineUnreachable    the server that runs the model cannot be reached, or ended an answer early
│   ├── EngineBusy           the server takes no request now; `retry_after_s` says when it may
│   ├── DeviceFailed         the device has failed; this engine cannot use it any more
│   └── PromptTooLong        prompt and answer exceed the context
├── ActionError              an action on code
│   ├── ActionUnavailable    no such action, no adapter for it, or no code to apply it to
│   └── AnswerUnusable       the model's answer cannot be turned into the requested edit or text
├── FeedbackStoreUnreadable  the file of feedback on suggestions
├── DaemonError              the daemon cannot be reached or started, or belongs to another user
└── DocumentError            what an editor sent about its documents
    ├── DocumentNotOpen      a request or a change before didOpen
    ├── DocumentOutOfSync    an impossible version or position
    ├── DocumentTooLarge     alone, or together with the client's other documents
    └── DocumentExcluded     a document that no model may see

Each message says what is wrong, where, and what to do about it.
"""

NO_ENGINE = "starcoder-ls-client runs no model itself: name a server in `remote.url`, or install starcoder-ls instead."
"""Said where the engine is missing, because only the thin distribution is installed."""


class StarcoderError(Exception):
    """Base class. ``str(error)`` is written for users."""


class SettingsError(StarcoderError):
    pass


class ModelError(StarcoderError):
    pass


class ModelNotFound(ModelError):
    pass


class HubUnreachable(ModelNotFound):
    pass


class DiskFull(ModelNotFound):
    pass


class ModelGated(ModelError):
    pass


class TokenRejected(ModelGated):
    pass


class ModelUnsupported(ModelError):
    pass


class ModelInvalid(ModelError):
    pass


class AdapterInvalid(ModelError):
    pass


class EngineError(StarcoderError):
    pass


class EngineNotReady(EngineError):
    pass


class EngineClosed(EngineError):
    pass


class EngineUnreachable(EngineError):
    pass


class EngineBusy(EngineError):
    """``retry_after_s``: the time that the server asks to wait for, in seconds."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeviceFailed(EngineError):
    pass


class OutOfMemory(EngineError):
    pass


class PromptTooLong(EngineError):
    pass


class ActionError(StarcoderError):
    pass


class ActionUnavailable(ActionError):
    pass


class AnswerUnusable(ActionError):
    pass


class FeedbackStoreUnreadable(StarcoderError):
    pass


class DaemonError(StarcoderError):
    pass


class DocumentError(StarcoderError):
    pass


class DocumentNotOpen(DocumentError):
    pass


class DocumentOutOfSync(DocumentError):
    pass


class DocumentTooLarge(DocumentError):
    pass


class DocumentExcluded(DocumentError):
    pass
