"""The files of the page: small modules that load nothing from elsewhere, and what is not written here as it was fetched."""

import hashlib
import re
import urllib.error
import urllib.request

from served import ROOT

PAGE = ROOT / "src" / "broker" / "http" / "page"


def test_what_is_not_written_here_is_named_with_its_sum():
    vendor = PAGE / "vendor"
    named = dict(re.findall(r"^\| `([^`]+)` .* `([0-9a-f]{64})` \|$", (vendor / "README.md").read_text(), re.M))
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in vendor.iterdir() if path.name != "README.md"}
    assert found == named


def test_modules_are_small_and_make_no_markup():
    for path in PAGE.glob("*.js"):
        text = path.read_text()
        assert text.startswith("// ") and len(text.splitlines()) <= 300, path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\(\"style\"|DOMParser|srcdoc", text), path
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path
    index = (PAGE / "index.html").read_text()
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|style=|//", index.replace("<!doctype html>", ""))


def test_the_headers_hold_the_policy(served):
    with urllib.request.urlopen(served.url) as response:
        headers = response.headers
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
    for path in PAGE.rglob("*"):
        if path.suffix in (".js", ".css", ".svg"):
            with urllib.request.urlopen(f"{served.url}page/{path.relative_to(PAGE)}") as response:
                assert response.read() == path.read_bytes(), path
    try:
        urllib.request.urlopen(f"{served.url}page/nonesuch.js")
        raise AssertionError("it is not there")
    except urllib.error.HTTPError as error:
        assert error.code == 404
