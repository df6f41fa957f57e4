"""Static files: the vendored ones are what was published, ours keep to the rules of the page."""

import hashlib
import re

import pytest

from controlplane.console.assets import STATIC, load_assets, vendored_checksums
from tests.support.console import Browser, Desk

VENDOR = STATIC / "vendor"


def test_vendored_files_have_the_checksums_that_were_noted_and_none_is_missing_or_extra() -> None:
    noted = vendored_checksums()
    present = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "CHECKSUMS"
    }

    assert present == noted
    assert {name.split("/")[0] for name in noted} == {"htmx-4.0.1", "uplot-1.6.32"}


def test_every_vendored_package_carries_its_licence() -> None:
    for package in VENDOR.iterdir():
        if package.is_dir():
            assert (package / "LICENSE").stat().st_size > 300, package


def test_static_files_are_served_from_memory_to_anybody_and_nothing_else_is(shared_desk: Desk) -> None:
    nobody = Browser(shared_desk)

    for name, asset in load_assets().items():
        answer = nobody.get(f"/static/any/{name}")
        assert (answer.status_code, answer.content) == (200, asset.body), name
        assert "immutable" in answer.headers["cache-control"]
        again = nobody.get(f"/static/any/{name}", **{"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304
    for path in ("../app.py", "..%2fapp.py", "vendor/CHECKSUMS", "vendor/htmx-4.0.1/LICENSE", "", "%00"):
        assert nobody.get(f"/static/any/{path}").status_code in (303, 401, 404), path


def test_our_scripts_evaluate_no_text_and_our_styles_fetch_nothing() -> None:
    for name, asset in load_assets().items():
        text = asset.body.decode()
        if name.endswith(".js") and not name.startswith("vendor/"):
            assert not re.search(r"\beval\(|new Function|innerHTML\s*=|document\.write", text), name
        if name.endswith(".css") and not name.startswith("vendor/"):
            assert "@import" not in text
            assert "url(" not in text


def test_the_first_page_stays_below_two_hundred_kilobytes(shared_desk: Desk) -> None:
    operator = shared_desk.client()
    html = operator.get("/").text
    parts = re.findall(r'(?:src|href)="/static/[0-9a-f]+/([^"]+)"', html)

    total = len(html.encode()) + sum(len(load_assets()[name].body) for name in parts)

    assert len(parts) >= 5
    assert total < 200_000


@pytest.mark.case("U27")
def test_reduced_motion_and_the_two_toned_focus_ring_are_in_the_style_sheet() -> None:
    text = load_assets()["app.css"].body.decode()

    assert "@media (prefers-reduced-motion: reduce)" in text
    assert re.search(r":focus-visible \{ outline: 2px solid[^}]*box-shadow: 0 0 0 2px #fff", text)
