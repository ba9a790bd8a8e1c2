"""What a request may say: one pure function per request, naming every bad field at once."""

import re
from collections.abc import Iterable

from souk.imaging.v1 import imaging_pb2 as pb
from souk_common.errors import FieldViolation, invalid_fields

from souk_imaging.images import is_image_id
from souk_imaging.selection import density
from souk_imaging.uploads import MAX_CHUNK_BYTES

MAX_TAGS = 10
MAX_PAGE_SIZE = 200
MAX_ACCEPT_LENGTH = 1024
_NAME = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_DOTS = {".", ".."}

Violations = list[FieldViolation]


def _refuse(violations: Violations) -> None:
    if violations:
        raise invalid_fields(violations)


def _image_id(image_id: str) -> Violations:
    if is_image_id(image_id):
        return []
    return [FieldViolation("image_id", "must be the id of an image: 26 characters of 0-9 a-z, as UploadImage gave it")]


def _names(field: str, values: Iterable[str]) -> Violations:
    return [
        FieldViolation(field, "must be 1 to 64 characters of a-z A-Z 0-9 . _ : - and not . or ..")
        for value in values
        if not _NAME.fullmatch(value) or value in _DOTS
    ][:1]


def _tags(tags: Iterable[str]) -> Violations:
    distinct = set(tags)
    if len(distinct) > MAX_TAGS:
        return [FieldViolation("tags", f"must be at most {MAX_TAGS}")]
    return _names("tags", distinct)


def upload_spec(spec: pb.UploadSpec) -> None:
    """Raise ServiceError where the spec of an upload is not as the proto says."""
    violations: Violations = []
    if spec.request_id and not _REQUEST_ID.fullmatch(spec.request_id):
        violations.append(FieldViolation("spec.request_id", "must be 1 to 128 visible ASCII characters"))
    if spec.owner:
        violations += _names("spec.owner", [spec.owner])
    violations += [FieldViolation(f"spec.{v.field}", v.description) for v in _tags(spec.tags)]
    if spec.size_bytes < 0:
        violations.append(FieldViolation("spec.size_bytes", "must not be negative"))
    if spec.wait_for not in pb.WaitFor.values():
        violations.append(FieldViolation("spec.wait_for", "must be WAIT_FOR_ALL_VARIANTS or WAIT_FOR_ACCEPTED"))
    _refuse(violations)


def chunk_data(data: bytes) -> None:
    """Raise ServiceError where the data of a chunk is not as the proto says."""
    if not 0 < len(data) <= MAX_CHUNK_BYTES:
        raise invalid_fields([FieldViolation("chunk.data", f"must be 1 to {MAX_CHUNK_BYTES} bytes")])


def upload_finish(finish: pb.UploadFinish) -> None:
    """Raise ServiceError where the end of an upload is not as the proto says."""
    violations: Violations = []
    if finish.size_bytes < 0:
        violations.append(FieldViolation("finish.size_bytes", "must not be negative"))
    if len(finish.sha256) not in (0, 32):
        violations.append(FieldViolation("finish.sha256", "must be 32 bytes, or empty"))
    _refuse(violations)


def image_id(request: pb.GetImageRequest | pb.WatchImageRequest | pb.DeleteImageRequest) -> None:
    """Raise ServiceError where a request that only names an image does not."""
    _refuse(_image_id(request.image_id))


def list_images(request: pb.ListImagesRequest) -> None:
    """Raise ServiceError where a list is not asked for as the proto says."""
    violations = _tags(request.tags)
    if request.owner:
        violations += _names("owner", [request.owner])
    if not 0 <= request.page_size <= MAX_PAGE_SIZE:
        violations.append(FieldViolation("page_size", f"must be 0 to {MAX_PAGE_SIZE}"))
    _refuse(violations)


def download_variant(request: pb.DownloadVariantRequest) -> None:
    """Raise ServiceError where a download is not asked for as the proto says."""
    violations = _image_id(request.image_id)
    if not request.variant_name:
        violations.append(FieldViolation("variant_name", "must be the name of a variant"))
    for name in ("read_offset", "read_limit"):
        if getattr(request, name) < 0:
            violations.append(FieldViolation(name, "must not be negative"))
    _refuse(violations)


def read_offset(request: pb.DownloadVariantRequest, size: int) -> None:
    """Raise ServiceError where a download is to begin behind the end."""
    if request.read_offset > size:
        raise invalid_fields([FieldViolation("read_offset", f"must be at most the size of the variant, {size}")])


def select_variant(request: pb.SelectVariantRequest) -> None:
    """Raise ServiceError where a selection is not asked for as the proto says."""
    violations = _image_id(request.image_id)
    if len(request.accept) > MAX_ACCEPT_LENGTH:
        violations.append(FieldViolation("accept", f"must be at most {MAX_ACCEPT_LENGTH} characters"))
    if not 0 <= request.width <= 65_535:
        violations.append(FieldViolation("width", "must be 0 to 65535"))
    if request.device_pixel_ratio:
        try:
            density(request.device_pixel_ratio)
        except ValueError as error:
            violations.append(FieldViolation("device_pixel_ratio", f"{error}, or 0 for 1"))
    _refuse(violations)
