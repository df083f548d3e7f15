"""Every error this package raises on purpose.

StarcoderError
├── SettingsError            a setting that cannot be used, with its name and where it came from
├── ModelError               the checkpoint, before anything runs
│   ├── ModelNotFound        no such folder, or no such model on the hub
│   ├── ModelGated           a licence to accept or a token to give first
│   ├── ModelUnsupported     an architecture or tokenizer we do not run
│   ├── ModelInvalid         files missing, truncated or unsafe
│   └── AdapterInvalid       the adapter, not the base
├── EngineError              the running model
│   ├── EngineNotReady       still loading, or failed to load
│   ├── EngineClosed         asked after the end
│   ├── OutOfMemory          the device (or the host) has no room
│   ├── DeviceFailed         the device will answer nothing more to this engine
│   └── PromptTooLong        prompt and answer do not fit the context
├── ActionError              an action on code
│   ├── ActionUnavailable    no such action, nobody to do it, or nothing to do it to
│   └── AnswerUnusable       the model's answer cannot become what was asked for
├── JournalUnreadable        the file of feedback on suggestions
├── SharingError             the way to the resident process is closed, or not this user's
└── DocumentError            what an editor said about its documents
    ├── DocumentNotOpen      a request or change before didOpen
    ├── DocumentOutOfSync    a version or position that cannot be true
    └── DocumentExcluded     a document that must not reach a model

Each message is one sentence that says what is wrong, where, and one that says what to do.
"""


class StarcoderError(Exception):
    """Anything we raise on purpose; ``str(error)`` is fit to show to a user."""


class SettingsError(StarcoderError):
    pass


class ModelError(StarcoderError):
    pass


class ModelNotFound(ModelError):
    pass


class ModelGated(ModelError):
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


class SharingError(StarcoderError):
    pass


class DocumentError(StarcoderError):
    pass


class DocumentNotOpen(DocumentError):
    pass


class DocumentOutOfSync(DocumentError):
    pass


class DocumentExcluded(DocumentError):
    pass
