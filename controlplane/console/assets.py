"""Static files, read once at the start and served from memory; nothing outside the list can be asked for."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

STATIC = Path(__file__).parent / "static"
CHECKSUMS = STATIC / "vendor" / "CHECKSUMS"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent."""

    body: bytes
    media_type: str
    digest: str


def load_assets() -> dict[str, Asset]:
    """Every file that a page may ask for, by its path under `static/`."""
    found = {}
    for path in sorted(STATIC.rglob("*")):
        if path.is_file() and path.suffix in MEDIA_TYPES:
            body = path.read_bytes()
            name = path.relative_to(STATIC).as_posix()
            found[name] = Asset(body, MEDIA_TYPES[path.suffix], hashlib.sha256(body).hexdigest())
    return found


def digest_of_all(assets: dict[str, Asset]) -> str:
    """A short text that changes when any of the files does."""
    together = "".join(f"{name}{asset.digest}" for name, asset in sorted(assets.items()))
    return hashlib.sha256(together.encode()).hexdigest()[:12]


def vendored_checksums() -> dict[str, str]:
    """The SHA-256 that each vendored file must have, by its path under `static/vendor/`."""
    pairs = (line.split() for line in CHECKSUMS.read_text(encoding="utf-8").splitlines())
    return {name: digest for digest, name in pairs}
