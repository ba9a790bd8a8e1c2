"""Profiles from YAML: the shipped file, and one of the user's own that adds to it or replaces by name."""

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from souk_common import yaml_text

from souk_imaging.images import Format
from souk_imaging.profiles import Encoding, Profile, Profiles

_EFFORT = {Format.AVIF: (0, 9), Format.WEBP: (0, 6), Format.PNG: (1, 9), Format.JPEG: (0, 0)}
_OPAQUE_ONLY = {Format.JPEG}


class _Formats(BaseModel):
    model_config = ConfigDict(extra="forbid")
    opaque: list[Format] = Field(min_length=1)
    transparent: list[Format] = Field(min_length=1)
    animated: list[Format] = Field(min_length=1)

    @field_validator("transparent")
    @classmethod
    def _keep_alpha(cls, formats: list[Format]) -> list[Format]:
        if _OPAQUE_ONLY & set(formats):
            raise ValueError("jpg has no transparency; use png")
        return formats

    @field_validator("opaque", "transparent", "animated")
    @classmethod
    def _distinct(cls, formats: list[Format]) -> list[Format]:
        if len(set(formats)) != len(formats):
            raise ValueError("names a format twice")
        return formats


class _Profile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sides: list[Annotated[int, Field(ge=1, le=8192)]] = Field(min_length=1, max_length=16)
    aspect: str | None = Field(None, pattern=r"^[1-9][0-9]{0,3}:[1-9][0-9]{0,3}$")
    formats: _Formats
    quality: dict[Format, Annotated[int, Field(ge=1, le=100)]]
    effort: dict[Format, int]

    @field_validator("effort")
    @classmethod
    def _in_range(cls, effort: dict[Format, int]) -> dict[Format, int]:
        for form, value in effort.items():
            low, high = _EFFORT[form]
            if not low <= value <= high:
                raise ValueError(f"{form.value} must be {low} to {high}")
        return effort


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    profiles: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")], _Profile]


def load(own: Path | None = None) -> Profiles:
    """The shipped profiles, and those of a file of the user's. ValueError that names file, profile and field where one is not
    right."""
    shipped = resources.files("souk_imaging").joinpath("profiles.yaml")
    profiles = _parse(shipped.read_text(encoding="utf-8"), "profiles.yaml")
    if own is not None:
        try:
            profiles |= _parse(own.read_text(encoding="utf-8"), str(own))
        except OSError as error:
            raise ValueError(f"{own}: {error.strerror}") from error
    return Profiles(profiles)


def _parse(text: str, name: str) -> dict[str, Profile]:
    try:
        file = _File.model_validate(yaml_text.load(text))
        return {key: _profile(key, profile) for key, profile in file.profiles.items()}
    except yaml.YAMLError as error:
        raise ValueError(f"{name}: not YAML: {error}") from error
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ValueError(f"{name}: {'; '.join(problems)}") from error
    except KeyError as error:
        raise ValueError(f"{name}: {error.args[0]}") from error


def _profile(name: str, profile: _Profile) -> Profile:
    def encodings(formats: Iterable[Format]) -> tuple[Encoding, ...]:
        made = []
        for form in formats:
            if form not in profile.quality or form not in profile.effort:
                raise KeyError(f"profiles.{name}: no quality or no effort for {form.value}")
            made.append(Encoding(form, profile.quality[form], profile.effort[form]))
        return tuple(made)

    aspect = None
    if profile.aspect is not None:
        wide, high = profile.aspect.split(":")
        aspect = int(wide) / int(high)
    return Profile(
        name=name,
        sides=tuple(sorted(set(profile.sides), reverse=True)),
        aspect=aspect,
        opaque=encodings(profile.formats.opaque),
        transparent=encodings(profile.formats.transparent),
        animated=encodings(profile.formats.animated),
    )
