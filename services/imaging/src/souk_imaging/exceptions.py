"""Everything that can go wrong in imaging, as the core says it; errors.py says what a caller is told.

ImagingError
├── NotFoundError
│   ├── ImageNotFoundError
│   ├── VariantNotFoundError
│   └── NoAcceptableVariantError
├── ImageNotReadyError
├── ImageFailedError
├── ImageDeletedError
├── ProfileUnknownError
├── RequestIdReusedError
├── RequestInProgressError
├── UploadError
│   ├── UploadEmptyError
│   ├── UploadIncompleteError
│   ├── UploadStalledError
│   ├── UploadOutOfOrderError
│   ├── SizeMismatchError
│   ├── ChecksumMismatchError
│   └── ContentTypeMismatchError
├── PhotoError
│   ├── NotAnImageError
│   ├── FormatNotSupportedError
│   ├── ImageTruncatedError
│   ├── ImageCorruptError
│   ├── TooManyBytesError
│   ├── TooMuchMetadataError
│   ├── TooManyPixelsError
│   └── TooManyFramesError
├── WorkerError
│   ├── WorkerCrashedError
│   ├── WorkerTimedOutError
│   └── WorkerOutOfMemoryError
├── BacklogFullError
├── TooManyUploadsError
└── StoreUnavailableError
"""

from collections.abc import Mapping


class ImagingError(Exception):
    """The root of the tree.

    `metadata` is what the error says of itself, by the names that the proto's ErrorReason documents.
    """

    def __init__(self, message: str, **metadata: str | int) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: Mapping[str, str] = {key: str(value) for key, value in metadata.items()}


class NotFoundError(ImagingError):
    """Something that the request names does not exist."""


class ImageNotFoundError(NotFoundError):
    """No image has this id."""


class VariantNotFoundError(NotFoundError):
    """The image has no variant of this name that is ready, or not any more."""


class NoAcceptableVariantError(NotFoundError):
    """The image has no variant of a format that the client accepts."""


class ImageNotReadyError(ImagingError):
    """The variant that is asked for is still being made."""


class ImageFailedError(ImagingError):
    """The image is FAILED and has no variants; the message and `reason` are those of its failure."""


class ImageDeletedError(ImagingError):
    """The image was deleted while it was being worked on."""


class ProfileUnknownError(ImagingError):
    """No profile has this name."""


class RequestIdReusedError(ImagingError):
    """The request id was used before, for another upload."""


class RequestInProgressError(ImagingError):
    """An upload with the same request id is still under way."""


class UploadError(ImagingError):
    """The stream of an upload breaks its own rules."""


class UploadEmptyError(UploadError):
    """The stream carried no bytes of a photo."""


class UploadIncompleteError(UploadError):
    """The stream ended before its finish message."""


class UploadStalledError(UploadError):
    """Nothing more came of the stream for longer than is waited."""


class UploadOutOfOrderError(UploadError):
    """A message is out of order, or a chunk does not begin where the one before it ended."""


class SizeMismatchError(UploadError):
    """The photo has not the size that was said."""


class ChecksumMismatchError(UploadError):
    """A checksum is not that of the bytes received."""


class ContentTypeMismatchError(UploadError):
    """The photo is not of the declared type."""


class PhotoError(ImagingError):
    """The photo itself cannot be taken."""


class NotAnImageError(PhotoError):
    """The bytes are no image that is known here."""


class FormatNotSupportedError(PhotoError):
    """The bytes are an image of a format that is not taken."""


class ImageTruncatedError(PhotoError):
    """The photo ends before its pixels do."""


class ImageCorruptError(PhotoError):
    """The photo cannot be decoded."""


class TooManyBytesError(PhotoError):
    """More bytes than the limit."""


class TooMuchMetadataError(PhotoError):
    """More bytes of metadata before the header than the limit."""


class TooManyPixelsError(PhotoError):
    """More pixels, over all frames, than the limit."""


class TooManyFramesError(PhotoError):
    """More frames than the limit."""


class WorkerError(ImagingError):
    """A worker process failed on the photo."""


class WorkerCrashedError(WorkerError):
    """The worker process died."""


class WorkerTimedOutError(WorkerError):
    """The worker process took longer than its limit and was killed."""


class WorkerOutOfMemoryError(WorkerError):
    """The worker process took more memory than its limit and was killed."""


class BacklogFullError(ImagingError):
    """As many photos wait for a worker, or arrive, as the service lets wait."""


class TooManyUploadsError(ImagingError):
    """As many photos arrive as the service takes in at once."""


class StoreUnavailableError(ImagingError):
    """The object store does not answer."""
