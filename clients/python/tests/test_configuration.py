"""Where clients find their broker when the program does not say it: the variable, the files, the default."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, List, Optional

import pytest

import msgstream
import msgstream.aio
from conftest import DEADLINE, QUICK, Broker
from msgstream import Address, BadAddress, BadConfig, RemoteStream, configuration
from msgstream.access import Access

if TYPE_CHECKING:
    from certificates import Authority


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes the user's file, or the system's."""
    monkeypatch.delenv("MSGSTREAM_SERVER", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(configuration, "SYSTEM", tmp_path / "system" / "client.toml")

    def write(text: str, path: Optional[Path] = None) -> Path:
        path = path or tmp_path / "user" / "msgstream" / "client.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# only a comment\n\n", None),
        ('server = "localhost"', "localhost"),
        ("  server='unix:/run/a b'  # ours\r\n", "unix:/run/a b"),
        ('server = ""', ""),
    ],
)
def test_a_file_is_read_as_toml_reads_it(text: str, value: Optional[str]) -> None:
    found = configuration.read("client.toml", text).get("server")
    assert (found.value if found else None) == value
    if sys.version_info >= (3, 11):
        import tomllib

        assert tomllib.loads(text).get("server") == value


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('\nsever = "x"', 'client.toml, line 2: unknown key "sever"; did you mean "server"?'),
        ("[client]", "line 1: there are no sections here"),
        ("token = 'secret'", 'unknown key "token"; did you mean "token_file"?'),
        ("cert = ''", 'unknown key "cert"; did you mean "certificate"?'),
        ("server", "this is no setting; write a line such as server = "),
        ("server = localhost", "the value is not in quotes"),
        ("server =", "the value is not in quotes"),
        ('server = "localhost', "the closing quote is missing"),
        ('server = "a\\\\b"', "in single quotes"),
        ('server = "a" b', '"b" behind the value is too much'),
        ('server = "a"\nserver = "b"', 'line 2: "server" stands here twice'),
        ("ca = '/a'\nca = ''", 'line 2: "ca" stands here twice'),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_the_cure(text: str, part: str) -> None:
    with pytest.raises(BadConfig) as raised:
        configuration.read("client.toml", text)
    assert part in str(raised.value)


@pytest.mark.parametrize("text", ["mst_0123 = 'x'", "server = 'x' mst_0123", "-----BEGIN 0123 = 'x'"])
def test_what_may_be_a_secret_is_not_repeated(text: str) -> None:
    with pytest.raises(BadConfig) as raised:
        configuration.read("client.toml", text)
    said = str(raised.value)
    assert "client.toml, line 1: a token or a private key is given where" in said and "0123" not in said


@pytest.mark.parametrize("server", ["mst_0123", "http://mst_0123", "tls://mst_0123:1"])
def test_a_token_in_place_of_an_address_is_not_repeated_and_not_looked_up(server: str, write: Callable[..., Path]) -> None:
    with pytest.raises(BadAddress) as raised:
        RemoteStream(server)
    assert "a token or a private key is given" in str(raised.value) and "0123" not in str(raised.value)
    write(f"server = '{server}'")
    with pytest.raises(BadConfig) as configured:
        RemoteStream()
    assert "line 1: a token or a private key is given" in str(configured.value) and "0123" not in str(configured.value)


def test_a_file_is_read_as_editors_save_it_and_no_pipe_is(write: Callable[..., Path]) -> None:
    path = write("\ufeffserver = 'mine:1'")
    assert Address.of() == Address("mine", 1)
    path.write_bytes(b"\xff\xfes\0")
    with pytest.raises(BadConfig, match="save it as UTF-8"):
        Address.of()
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BadConfig, match="is a named pipe"):
        Address.of()


def test_what_is_configured_for_tls_is_refused_where_nothing_is_encrypted(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for key in ("ca", "certificate", "key"):
        write(f"server = '127.0.0.1:1'\n{key} = '/{key}'")
        with pytest.raises(BadConfig, match=f"127.0.0.1:1 is an address without TLS.*client.toml, line 2.*write \"tls://\""):
            RemoteStream()
        # It is for the broker that is named beside it.
        RemoteStream("127.0.0.1:1", options=QUICK).close(timeout=0)
        write("")
        monkeypatch.setenv(configuration.VARIABLES[key], f"/{key}")
        with pytest.raises(BadConfig, match=f"127.0.0.1:1 is an address without TLS.*{configuration.VARIABLES[key]}"):
            RemoteStream("127.0.0.1:1")
        # Nobody thinks of encryption there.
        RemoteStream(f"unix:{tmp_path}/none", options=QUICK).close(timeout=0)
        monkeypatch.setenv(configuration.VARIABLES[key], "")


def test_the_variable_counts_more_than_the_files_and_the_users_file_more_than_the_systems(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert Address.of() == Address("127.0.0.1", 7342)
    system = write("server = 'theirs'", configuration.SYSTEM)
    assert Address.of() == Address("theirs", 7342)
    user = write('server = "mine:1"')
    assert Address.of() == Address("mine", 1)
    # Empty counts as unset, and the user's counts more.
    write("server = ''")
    assert Address.of() == Address("127.0.0.1", 7342)
    for text in ("server = 'mine'", "["):
        # A file that does not count is not read.
        write(text)
        monkeypatch.setenv("MSGSTREAM_SERVER", "variable")
        assert Address.of() == Address("variable", 7342)
        assert Address.of("argument") == Address("argument", 7342)
        monkeypatch.setenv("MSGSTREAM_SERVER", "")
    with pytest.raises(BadConfig, match="line 1: there are no sections"):
        Address.of()
    # Both are read, so that what is wrong in either is told.
    write("server = 'mine'")
    write("nonsense", system)
    with pytest.raises(BadConfig, match="this is no setting"):
        Address.of()
    system.unlink()
    write("server = 'http://x'")
    with pytest.raises(BadConfig) as raised:
        Address.of()
    assert str(raised.value).startswith(f"{user}, line 1: 'http://x' is not the address of a broker")
    user.write_bytes(b"server = '\xff'")
    with pytest.raises(BadConfig, match="it is not UTF-8"):
        Address.of()
    user.unlink()
    user.mkdir()
    with pytest.raises(BadConfig, match=f"cannot read {user}: Is a directory"):
        Address.of()


def test_files_are_named_from_the_root_on(write: Callable[..., Path]) -> None:
    write("token_file = '/run/token'\nca = ''")
    assert {key: setting.value for key, setting in configuration.Files().settings().items()} == {"token_file": "/run/token", "ca": ""}
    for relative in ("mst_token", "./token", "~/token"):
        file = write(f"\ntoken_file = '{relative}'")
        with pytest.raises(BadConfig) as raised:
            RemoteStream()
        told = str(raised.value)
        assert told.startswith(f'{file}, line 2: "token_file" is not an absolute path') and 'such as "/home/me/token_file"' in told
        # It may be the token itself.
        assert relative not in told


def test_each_setting_is_that_of_the_variable_the_users_file_or_the_systems(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write("ca = '/theirs'\ncertificate = '/theirs'\nkey = '/theirs'", configuration.SYSTEM)
    user = write("\nca = '/mine'\ncertificate = ''")
    assert configuration.Files().setting("ca") == ("/mine", f"{user}, line 2")
    assert configuration.Files(False).setting("ca") is None
    # Empty in the user's file takes that of the system away.
    assert configuration.Files().setting("certificate") is None
    assert configuration.Files().setting("key") == ("/theirs", f"{configuration.SYSTEM}, line 3")
    assert configuration.Files().setting("token_file") is None
    for key, variable in configuration.VARIABLES.items():
        monkeypatch.setenv(variable, "/variable")
        assert configuration.Files().setting(key) == configuration.Files(False).setting(key) == ("/variable", variable)
    monkeypatch.setenv("MSGSTREAM_CA", "")
    assert configuration.Files().setting("ca") == ("/mine", f"{user}, line 2")


def test_a_key_belongs_to_its_certificate_wherever_that_is_named(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    write("certificate = '/theirs'\nkey = '/theirs'")
    assert Access()._files()[1:] == ("/theirs", "/theirs")
    assert Access(certificate="/given")._files()[1:] == ("/given", None)
    assert Access(ca="", certificate="")._files() == (None, "/theirs", "/theirs")
    assert Access(certificate="/given", key="/given")._files()[1:] == ("/given", "/given")
    monkeypatch.setenv("MSGSTREAM_CERTIFICATE", "")
    assert Access()._files()[1:] == ("/theirs", "/theirs")
    monkeypatch.setenv("MSGSTREAM_CERTIFICATE", "/variable")
    assert Access()._files()[1:] == ("/variable", None)
    monkeypatch.setenv("MSGSTREAM_KEY", "/variable")
    assert Access()._files()[1:] == ("/variable", "/variable")
    assert Access(certificate="/given")._files()[1:] == ("/given", "/variable")


@pytest.mark.parametrize("make", [RemoteStream, lambda: msgstream.listen("fit"), lambda: msgstream.aio.listen("fit")])
def test_one_client_reads_the_files_once(
    make: Callable[[], Any], write: Callable[..., Path], authority: "Authority", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("mst_secret")
    file = write(f"server = 'tls://localhost'\ntoken_file = '{token}'\nca = '{authority.file}'")
    opened: List[Path] = []
    read = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **how: (opened.append(path), read(path, **how))[1])
    access = make()._access
    for _ in range(2):
        # As each connection does.
        assert access.token() == "mst_secret" and access.context()
    assert opened == [file, configuration.SYSTEM]


def test_a_broker_that_is_given_is_not_shown_what_is_for_another(write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("mst_secret")
    write(f"server = 'theirs'\ntoken_file = '{token}'")
    assert RemoteStream()._access.token() == msgstream.listen("fit")._access.token() == "mst_secret"
    assert RemoteStream("other")._access.token() is RemoteStream(port=7)._access.token() is msgstream.listen("fit", server="other")._access.token() is None
    monkeypatch.setenv("MSGSTREAM_SERVER", "other")
    assert RemoteStream()._access.token() is None
    # Nor is the file read.
    write("[")
    RemoteStream()
    monkeypatch.setenv("MSGSTREAM_SERVER", "")
    with pytest.raises(BadConfig):
        RemoteStream()


def test_without_a_configuration_folder_it_is_in_the_home_folder(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write("server = 'home'", tmp_path / ".config" / "msgstream" / "client.toml")
    monkeypatch.setenv("HOME", str(tmp_path))
    for unusable in ("", "not/absolute"):
        monkeypatch.setenv("XDG_CONFIG_HOME", unusable)
        assert Address.of() == Address("home", 7342)
    monkeypatch.setenv("HOME", "")
    assert Address.of() == Address("127.0.0.1", 7342)


def test_all_kinds_of_clients_and_the_command_find_the_broker_in_the_file(broker: Broker, write: Callable[..., Path]) -> None:
    file = write(f'# ours\nserver = "{broker.address}"\n')
    with RemoteStream() as remote, msgstream.Publisher("fit") as fit:
        remote["fit"] = 1
        assert remote.flush()
        assert next(msgstream.listen("fit", timeout=DEADLINE)) == msgstream.Header("fit", 1)
        fit.end()
        assert fit.flush()

    def put() -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "msgstream", "put", "fit", "1"]
        return subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=DEADLINE)

    assert put().returncode == 0
    write("sever = 'x'")
    said = put()
    assert said.returncode == 78 and f'msgstream: {file}, line 1: unknown key "sever"' in said.stderr, said
