"""Plain data: read from YAML, merged, hashed, and converted to typed structures."""

import hashlib
import math
import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from latents.cli import Problem

Settings = TypeVar("Settings")


class Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, and repeated keys, infinity, NaN, 010 and 1:30 are errors.

    PyYAML would take the last value of a repeated key, 8 and 90.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        # keys that are not scalars are rejected below
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if re.match(r"[-+]?0[0-9_]|.*:", node.value):
            raise yaml.constructor.ConstructorError(
                None, None, f"{node.value} could be read as octal or in base 60", node.start_mark
            )
        return super().construct_yaml_int(node)

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        value = super().construct_yaml_float(node)
        if not math.isfinite(value) or ":" in node.value:
            raise yaml.constructor.ConstructorError(
                None, None, f"{node.value} is not a finite decimal number", node.start_mark
            )
        return value


Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
Loader.add_constructor("tag:yaml.org,2002:float", Loader.construct_yaml_float)

# YAML 1.1, which PyYAML reads, requires a point and a sign in floats; users write 1e-3 and 1E5 as in YAML 1.2
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def load_yaml(path: str | Path) -> Any:
    """A YAML file as plain data.

    Raises Problem if it is missing, not text, not YAML, empty, or repeats a key.
    """
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8-sig"), Loader)
    except FileNotFoundError:
        raise Problem(
            f"{path}: no such file in {Path.cwd()}; mend the path, or run in the checkout "
            "(the studies that ship are in its config/)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(
            f"{path}: cannot be read as a text file ({error}); give a YAML file like config/study.yaml"
        ) from None
    except yaml.YAMLError as error:
        tab = "; YAML is indented with spaces, not tabs" if "'\\t'" in str(error) else ""
        raise Problem(
            f"{path}: not valid YAML: {' '.join(str(error).split())}{tab}; mend the file at that line"
        ) from None
    if content is None:
        raise Problem(f"{path}: empty; give a YAML file like config/study.yaml")
    return content


def parse(path: str | Path, kind: type[Settings], content: Any = None) -> Settings:
    """A YAML file, or content read from it, as one of the structures.

    Raises Problem with the file and the key.
    """
    content = load_yaml(path) if content is None else content
    return converted(str(path), kind, content)


def converted(place: str, kind: type[Settings], content: Any) -> Settings:
    """Plain data as one of the structures. Raises Problem with a message that begins with `place`."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise Problem(
            f"{place}: {error}; mend that key (the keys and their meaning are in src/latents: study.py, "
            "settings.py, metrics.py and methods/__init__.py)"
        ) from None


def digest(plain: Any) -> str:
    """SHA-256 of plain data, independent of key order."""
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` overridden by `changes`; nested mappings are merged in the same way."""
    merged = dict(base)
    for key, value in changes.items():
        old = base.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def differing(made: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What differs between two mappings of plain data: `key: value made, value wanted`, dots between keys."""
    made, wanted = flat(made), flat(wanted)
    keys = [key for key in made | wanted if made.get(key) != wanted.get(key)]
    return [f"{key}: {made.get(key, 'absent')}, here {wanted.get(key, 'absent')}" for key in keys]


def flat(plain: Any, place: str = "") -> dict[str, Any]:
    """Nested mappings as one, its keys joined by dots; lists as tuples are lists, as in JSON."""
    if not isinstance(plain, dict):
        return {place: list(plain) if isinstance(plain, tuple) else plain}
    return {
        name: value
        for key, part in plain.items()
        for name, value in flat(part, f"{place}.{key}" if place else str(key)).items()
    }
