"""The set-up command, run for real in small checkouts made for the purpose."""

import contextlib
import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def checkout(tmp_path: Path, repository: Path) -> Path:
    """A folder with a blank and a quote in its name that holds bootstrap.py and the locks."""
    root = tmp_path / "a check's out"
    root.mkdir()
    shutil.copy(repository / "bootstrap.py", root)
    shutil.copytree(repository / "requirements", root / "requirements")
    return root


@pytest.fixture
def bootstrap(checkout: Path) -> ModuleType:
    """bootstrap.py as a module that believes to lie in that folder."""
    spec = importlib.util.spec_from_file_location("bootstrap_under_test", checkout / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(checkout: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(checkout), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", **settings}
    command = [sys.executable, "bootstrap.py", *arguments]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def finished_set_up(checkout: Path, bootstrap: ModuleType, profile: str = "run") -> None:
    """An environment that was set up before: a real Python, a command that tells what it was given, and the stamp."""
    bin_folder = checkout / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "python").symlink_to(sys.executable)
    (bin_folder / "controlplane").write_text(
        "import os, sys\nprint('demo', sys.argv[1:], os.environ['DO_NOT_TRACK'], os.environ['VIRTUAL_ENV'])\n"
        "sys.exit(5)\n"
    )
    bootstrap.STAMP.write_text(bootstrap.digest(profile))
    bootstrap.COMPILED.write_text(bootstrap.gate_digest())


@pytest.mark.parametrize("arguments", [[], ["fly"], ["--help"]])
def test_wrong_command_says_the_right_ones(checkout: Path, arguments: list[str]) -> None:
    done = run(checkout, *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "usage: python3 bootstrap.py demo|test|lock [options]\n"


def test_later_start_becomes_the_demo_at_once_with_its_options_and_status(
    checkout: Path, bootstrap: ModuleType
) -> None:
    finished_set_up(checkout, bootstrap)
    started = time.monotonic()

    done = run(checkout, "demo", "--headless", "--seconds", "3")

    seconds = time.monotonic() - started
    assert done.stdout == f"demo ['demo', '--headless', '--seconds', '3'] 1 {checkout / '.venv'}\n"
    assert done.returncode == 5
    assert seconds < 1.0


def test_demo_is_content_with_what_the_tests_were_set_up_with_but_not_the_other_way_round(
    checkout: Path, bootstrap: ModuleType
) -> None:
    finished_set_up(checkout, bootstrap, "test")

    assert bootstrap.stamped() in [bootstrap.digest(profile) for profile in bootstrap.PROFILES["demo"]]
    bootstrap.STAMP.write_text(bootstrap.digest("run"))
    assert bootstrap.stamped() not in [bootstrap.digest(profile) for profile in bootstrap.PROFILES["test"]]


@pytest.mark.parametrize("changed", ["requirements/run.lock", "requirements/bootstrap.lock", "bootstrap.py"])
def test_change_of_a_lock_or_of_the_set_up_makes_the_stamp_worthless(
    checkout: Path, bootstrap: ModuleType, changed: str
) -> None:
    before = bootstrap.digest("run")

    with (checkout / changed).open("a") as file:
        file.write("\n")

    assert bootstrap.digest("run") != before


def test_stamp_without_its_python_is_worthless(checkout: Path, bootstrap: ModuleType) -> None:
    finished_set_up(checkout, bootstrap)
    (checkout / ".venv" / "bin" / "python").unlink()

    assert bootstrap.stamped() == ""


def test_gate_is_compiled_once_and_again_when_its_sources_change(checkout: Path, bootstrap: ModuleType) -> None:
    asked = checkout / "asked"
    script(checkout / ".venv" / "bin" / "python", 'echo "$@" >> asked')
    source = checkout / "controlplane" / "gate" / "kernel" / "machine.py"
    source.parent.mkdir(parents=True)
    with contextlib.chdir(checkout):
        for text in ("a = 1", "a = 1", "a = 2"):
            source.write_text(text)
            bootstrap.compile_gate()

    assert asked.read_text().splitlines() == ["-m controlplane.cli compile"] * 2


def test_gate_that_does_not_compile_is_one_sentence_and_is_tried_again(
    checkout: Path, bootstrap: ModuleType
) -> None:
    script(checkout / ".venv" / "bin" / "python", "echo 'Expected policies, found none.' >&2\nexit 1")

    for _ in range(2):
        with pytest.raises(bootstrap.Stop, match="Expected to compile the gate, found: Expected policies, found none"):
            bootstrap.compile_gate()


def test_set_up_waits_for_another_one_and_then_uses_its_result(checkout: Path, bootstrap: ModuleType) -> None:
    finished_set_up(checkout, bootstrap)
    stamp = bootstrap.STAMP.read_text()
    bootstrap.STAMP.unlink()
    with (checkout / ".bootstrap.lock").open("w") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        waiting = subprocess.Popen(
            [sys.executable, "bootstrap.py", "demo"], cwd=checkout, stdout=subprocess.PIPE, text=True
        )
        assert waiting.stdout is not None
        said = waiting.stdout.readline()
        bootstrap.STAMP.write_text(stamp)

    rest, _ = waiting.communicate(timeout=20)

    assert "another set-up is at work" in said
    assert rest.startswith("demo ['demo']")


def test_no_network_is_one_sentence_and_the_next_start_goes_on(checkout: Path) -> None:
    nobody_listens = "http://127.0.0.1:9"

    done = run(checkout, "demo", HTTPS_PROXY=nobody_listens, HTTP_PROXY=nobody_listens, PIP_CONFIG_FILE=os.devnull)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Expected to reach a package index while installing uv" in done.stderr
    assert not (checkout / ".venv" / "controlplane.stamp").exists()


def test_commands_start_the_product_from_a_folder_with_any_name(checkout: Path, bootstrap: ModuleType) -> None:
    venv.create(checkout / ".venv", with_pip=False)
    for name in ("controlplane", "executor"):
        (checkout / name).mkdir()
        (checkout / name / "cli.py").write_text(
            "import os, sys\ndef main():\n"
            f"    print('{name}', sys.argv[1:], os.path.basename(sys.argv[0]))\n"
            "    print('numba' in os.environ['NUMBA_CACHE_DIR'])\n"
            "    return 3\n"
        )

    bootstrap.write_commands()
    plain = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = [
        subprocess.run([folder / name, "a b"], capture_output=True, text=True, check=False, cwd="/", env=plain)
        for folder in (checkout / ".venv" / "bin",)
        for name in ("controlplane", "executor")
    ]

    assert [one.stdout for one in done] == [
        "controlplane ['a b'] controlplane\nTrue\n",
        "executor ['a b'] executor\nTrue\n",
    ]
    assert [one.returncode for one in done] == [3, 3]


def test_python_that_is_too_old_hands_over_to_one_that_is_not(
    checkout: Path, bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed_over: list[list[str]] = []
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    monkeypatch.setattr(os, "execv", lambda program, words: handed_over.append(words))
    script(checkout / "bin" / "python3.13", "exit 1")  # a shim that starts nothing
    script(checkout / "bin" / "python3.12", "exit 0")
    monkeypatch.setenv("PATH", str(checkout / "bin"))

    with pytest.raises(bootstrap.Stop):
        bootstrap.require_python(["demo", "--headless"])

    assert handed_over == [[str(checkout / "bin" / "python3.12"), str(checkout / "bootstrap.py"), "demo", "--headless"]]


@pytest.mark.parametrize("version", [(3, 10, 4), (3, 15, 0), (4, 0, 0)])
def test_python_out_of_range_without_another_is_one_sentence(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int]
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setenv("PATH", "")

    with pytest.raises(bootstrap.Stop, match=r"Expected Python 3\.11 to 3\.14, found .*`apt-get install python3\.11"):
        bootstrap.require_python(["demo"])


def test_missing_venv_module_names_the_package_to_install(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)

    with pytest.raises(bootstrap.Stop, match="apt-get install python3-venv"):
        bootstrap.make_environment()


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "No space is left on the disk"),
        ("error: Failed to extract\n  Caused by: No space left on device (os error 28)", "No space is left"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "does not have the hash"),
        ("error: Hash mismatch for `idna==3.20`", "does not have the hash"),
        ("Temporary failure in name resolution", "check the network"),
        (
            "error sending request for url (https://somewhere/)\n tcp connect error: Connection refused",
            "check the network",
        ),
        ("first\n\nERROR: something else entirely\n", "found: ERROR: something else entirely; the details are in"),
        ("", "found: nothing was said"),
    ],
)
def test_failed_step_is_one_sentence_with_the_way_out(bootstrap: ModuleType, failure: str, sentence: str) -> None:
    said = bootstrap.explain_failure("installing with uv", failure, "run.lock")

    assert sentence in said
    assert "\n" not in said


def test_full_disk_and_missing_rights_are_one_sentence(bootstrap: ModuleType) -> None:
    full = bootstrap.explain_system_error(OSError(28, "No space left on device"))
    closed = bootstrap.explain_system_error(PermissionError(13, "Permission denied", ".venv"))

    assert full.startswith("No space is left on the disk")
    assert closed == "Expected to be able to use .venv, found: Permission denied; correct that, then run this again."


def test_uv_gets_the_index_that_pip_is_configured_with(
    checkout: Path, bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    told = "echo \"global.index-url='https://mirror.example/all'\"\necho \"install.extra-index-url='https://more.example'\""
    script(checkout / ".venv" / "bin" / "python", told + "\necho \":env:.cert='/etc/ca.pem'\"")

    assert bootstrap.uv_settings() == {
        "UV_DEFAULT_INDEX": "https://mirror.example/all",
        "UV_INDEX": "https://more.example",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "/etc/ca.pem",
    }


def test_uv_keeps_an_index_of_its_own(checkout: Path, bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example")
    script(checkout / ".venv" / "bin" / "python", "echo \"global.index-url='https://mirror.example/all'\"")

    assert bootstrap.uv_settings() == {}


@pytest.fixture
def checked(checkout: Path, bootstrap: ModuleType) -> Path:
    """An environment whose Python writes down what it is asked to run; mypy fails with 4, pytest with 5."""
    script(
        checkout / ".venv" / "bin" / "python",
        'echo "$@" >> asked\ncase "$2" in mypy) exit 4;; pytest) exit 5;; *) exit 0;; esac',
    )
    return checkout / "asked"


def test_all_three_checks_run_and_the_first_failure_is_the_status(bootstrap: ModuleType, checked: Path) -> None:
    status = bootstrap.run_checks(["-m", "not browser", "-k", "gate"])

    assert checked.read_text().splitlines() == ["-m ruff check", "-m mypy", "-m pytest -m not browser -k gate"]
    assert status == 4


def test_missing_browser_stops_the_tests_with_the_way_to_get_one(
    bootstrap: ModuleType, checked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(bootstrap.Stop, match="install it with `apt-get install chromium`"):
        bootstrap.run_checks([])

    assert not checked.exists()


def test_root_on_debian_gets_the_browser_installed(
    checkout: Path, bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setenv("PATH", str(checkout / "bin"))
    (checkout / ".venv").mkdir()
    script(checkout / "bin" / "apt-get", f"echo \"$@\" >> '{checkout.parent}/asked'")

    bootstrap.find_browser()

    assert (checkout.parent / "asked").read_text().splitlines() == [
        "-q update",
        "-q install -y --no-install-recommends chromium fonts-liberation",
    ]


def test_failed_installation_of_the_browser_is_one_sentence(
    checkout: Path, bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setenv("PATH", str(checkout / "bin"))
    (checkout / ".venv").mkdir()
    script(checkout / "bin" / "apt-get", "exit 100")

    with pytest.raises(bootstrap.Stop, match=r"\(apt-get update failed; its words are in .*bootstrap\.log\)"):
        bootstrap.find_browser()
