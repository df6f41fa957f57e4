"""Reading a folder of policy files: whole, or refused with sentences."""

import stat
import tomllib
from pathlib import Path

import pytest

from controlplane.domain.errors import PolicyInvalid
from controlplane.policy.load import FILE_BYTES_MAX, load_policies, parse_policies, policies_of
from controlplane.policy.schema import FILES, WatchFile
from tests.support.policies import (
    SHIPPED,
    SMALL,
    contents_of,
    shipped_files,
    small_files,
    small_files_with,
    small_policies,
    toml_text,
    write_files,
)


def refusal(files: dict[str, bytes]) -> str:
    with pytest.raises(PolicyInvalid) as refused:
        parse_policies(files)
    return str(refused.value)


def is_taken(whole: dict[str, dict[str, object]], file: str, text: str) -> bool:
    """Return whether the rule book is accepted with this text in one file, and differs from the whole one."""
    try:
        contents = whole | {file: tomllib.loads(text)}
        return contents != whole and policies_of(contents) is not None
    except (tomllib.TOMLDecodeError, PolicyInvalid):
        return False


def test_shipped_rule_book_loads_and_names_both_desks() -> None:
    policies = load_policies(SHIPPED)

    assert sorted(policies.desks) == ["crypto", "equities"]
    assert {name.split("/")[1] for name in policies.strategies} == {"twap", "vwap", "pov", "almgren-chriss"}


def test_rule_book_read_from_a_folder_equals_the_one_parsed_from_its_bytes(tmp_path: Path) -> None:
    write_files(tmp_path, small_files() | {"README.md": b"for people\n", ".watch.toml.swp": b"an editor's\n"})

    assert load_policies(tmp_path) == small_policies()


def test_digest_ignores_comments_spacing_and_order_of_keys() -> None:
    spaced = small_files_with("watch.toml", "permit_ttl_ms = 500", "permit_ttl_ms   =   500 # half a second")
    reversed_keys = small_files() | {
        "watch.toml": toml_text(dict(reversed(contents_of(small_files())["watch.toml"].items()))).encode()
    }

    assert parse_policies(spaced).digest == small_policies().digest
    assert parse_policies(reversed_keys).digest == small_policies().digest


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("watch.toml", "permit_ttl_ms = 500", "permit_ttl_ms = 499"),
        ("limits/firm.toml", 'daily_loss_max = "500000"', 'daily_loss_max = "500001"'),
        ("calendars.toml", "2024-08-12", "2024-08-14"),
        ("governance.toml", '"approved"', '"suspended"'),
    ],
)
def test_digest_changes_with_every_value(file: str, old: str, new: str) -> None:
    changed = parse_policies(small_files_with(file, old, new))

    assert changed.digest != small_policies().digest


def test_empty_folder_names_the_missing_files(tmp_path: Path) -> None:
    (tmp_path / "limits").mkdir()

    with pytest.raises(PolicyInvalid, match=r"^breakers\.toml: the file is missing; restore it") as refused:
        load_policies(tmp_path)

    assert f"{len(FILES) - 5} more problems" in str(refused.value)


@pytest.mark.parametrize("name", ["absent", "a-file"])
def test_a_folder_that_is_none_is_refused_with_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "a-file").write_text("not a folder\n")

    with pytest.raises(PolicyInvalid, match=name):
        load_policies(tmp_path / name)


@pytest.mark.parametrize("name", ["limits.toml", "limits/options.toml", "limits/firm.toml~", "watch.toml.bak"])
def test_a_name_that_no_policy_file_has_is_refused(tmp_path: Path, name: str) -> None:
    write_files(tmp_path, small_files() | {name: b"\n"})

    with pytest.raises(PolicyInvalid, match="no policy file has this name") as refused:
        load_policies(tmp_path)

    assert name in str(refused.value)


@pytest.mark.parametrize("name", sorted(FILES))
def test_each_file_is_needed(name: str) -> None:
    files = small_files()
    del files[name]

    assert refusal(files) == f"{name}: the file is missing; restore it, since nothing is assumed for what it holds."


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path, small_files())
    (tmp_path / "watch.toml").unlink()
    (tmp_path / "watch.toml").symlink_to(tmp_path / "gone.toml")
    (tmp_path / "limits/firm.toml").unlink()
    (tmp_path / "limits/firm.toml").mkdir()

    with pytest.raises(PolicyInvalid) as refused:
        load_policies(tmp_path)

    assert str(refused.value).splitlines() == [
        "limits/firm.toml: the file must be readable, found: Is a directory; restore it.",
        "watch.toml: the file must be readable, found: No such file or directory; restore it.",
    ]


def test_a_file_without_read_permission_is_refused_for_users_whom_permissions_bind(tmp_path: Path) -> None:
    write_files(tmp_path, small_files())
    target = tmp_path / "watch.toml"
    target.chmod(0)
    try:
        target.read_bytes()
    except PermissionError:
        pass
    else:
        target.chmod(stat.S_IRUSR | stat.S_IWUSR)
        pytest.skip("this user reads every file whatever its permissions say")

    with pytest.raises(PolicyInvalid, match=r"watch\.toml: the file must be readable, found: Permission denied"):
        load_policies(tmp_path)


def test_bytes_that_are_no_text_are_refused_with_their_position() -> None:
    files = small_files()
    files["watch.toml"] = b"# \xff\n" + files["watch.toml"]

    assert refusal(files) == (
        "watch.toml: the file must be UTF-8 text, found another byte at position 2; save it as UTF-8."
    )


def test_an_oversized_file_is_refused_before_it_is_parsed() -> None:
    files = small_files() | {"watch.toml": b"#" * FILE_BYTES_MAX + b"\n"}

    assert f"watch.toml: the file must be at most {FILE_BYTES_MAX} bytes" in refusal(files)


def test_a_key_written_twice_is_refused() -> None:
    doubled = small_files_with("watch.toml", "near_bps = 8000\n", "near_bps = 8000\nnear_bps = 9000\n")

    assert refusal(doubled).startswith("watch.toml: the file must be complete TOML with every key once (")


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5_000 + "]" * 5_000 + "\n",
        "near_bps = " + "9" * 5_000 + "\n",
        "[" + ".".join(["a"] * 3_000) + "]\nb = 1\n",
        "\x00\n",
        "\ufeffnear_bps = 1\n",
    ],
    ids=["deep list", "endless number", "deep table", "zero byte", "byte order mark"],
)
def test_hostile_text_is_refused_with_sentences(text: str) -> None:
    message = refusal(small_files() | {"watch.toml": text.encode()})

    assert all(line.startswith("watch.toml: ") for line in message.splitlines() if "more problems" not in line)
    assert "Traceback" not in message


@pytest.mark.case("GATE-124")
@pytest.mark.parametrize("file", sorted(FILES))
def test_a_shipped_file_cut_anywhere_is_refused_as_half_written(file: str) -> None:
    """A cut after any line leaves something out; a cut within a line, even within a number, leaves no line break."""
    whole = contents_of(shipped_files())
    text = (SHIPPED / file).read_text()
    lines = text.splitlines(keepends=True)
    starts = ["".join(lines[:count]) for count in range(len(lines))]

    taken = [start for start in starts if is_taken(whole, file, start)]

    assert [start.splitlines()[-1] for start in taken] == []
    for within in (1, 2, len(text) // 3, len(text) // 2):
        with pytest.raises(PolicyInvalid, match=f"^{file}: "):
            parse_policies(shipped_files() | {file: text[:-within].encode()})


def test_only_the_first_problems_are_told_with_the_number_of_the_rest() -> None:
    message = refusal(small_files() | {"watch.toml": b"# nothing yet\n"})

    assert len(message.splitlines()) == 6
    more = len(WatchFile.model_fields) - 5
    assert message.splitlines()[-1] == f"{more} more problems were found; put these right first."


def test_problems_of_several_files_are_told_together() -> None:
    files = small_files_with("watch.toml", "near_bps = 8000", "near_bps = 0")
    files |= small_files_with("governance.toml", '"approved"', '"blessed"') | {"watch.toml": files["watch.toml"]}

    message = refusal(files)

    assert "watch.toml: near_bps must be greater than or equal to 1, found 0; correct it." in message
    assert "governance.toml: models.schedule.status must be one of 'proposed'" in message


def test_the_small_rule_book_of_the_tests_has_every_file() -> None:
    assert set(SMALL) == set(FILES)
