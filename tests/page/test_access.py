"""Tokens: the page asks for one, keeps it for the tab, and says plainly what it may not see."""

import os
import subprocess

import pytest
from selenium.webdriver.common.keys import Keys
from served import until
from talk import Job, Publisher


@pytest.fixture
def guarded(serve, tmp_path):
    """A broker with tokens for all and for ``fit-``, and the tokens."""
    file = tmp_path / "tokens.toml"

    def token(name, *rights):
        command = [os.environ["MSGSTREAM_BIN"], "token", "new", name, "--file", str(file), *rights]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1].strip()

    tokens = {"all": token("all", "--publish", "", "--listen", "", "--admin"), "fit": token("fit", "--listen", "fit-")}
    return serve(AUTH__TOKENS=str(file)), tokens


def shown_form(browser):
    return browser.run("return document.querySelector('dialog.token').open")


def enter(browser, token):
    until(lambda: shown_form(browser), "the form is shown")
    browser.press(token, Keys.ENTER)


def opened(browser, url):
    browser.driver.get("about:blank")
    browser.driver.get(url)
    browser.run("sessionStorage.clear()")
    browser.driver.refresh()


def publish(served, token):
    publisher = Publisher.__new__(Publisher)
    import socket

    publisher._socket = socket.create_connection(("127.0.0.1", served.port))
    publisher._lines = publisher._socket.makefile("r", newline="\n", encoding="utf-8")
    publisher.say({"action": "auth", "token": token})
    return publisher


def test_a_token_is_asked_for_and_kept_for_the_tab(browser, guarded):
    served, tokens = guarded
    Job(publish(served, tokens["all"]), "fit-1")
    opened(browser, served.url)
    enter(browser, "mst_nonsense")
    until(lambda: shown_form(browser) and "The broker says" in browser.text("dialog .reason"), "it is asked again, in the broker's words")
    enter(browser, tokens["all"])
    browser.live()
    until(lambda: browser.row("fit-1"), "the list is there")
    browser.reload()
    assert not shown_form(browser)
    assert browser.run("return JSON.stringify(localStorage)").find(tokens["all"]) < 0 and tokens["all"] not in browser.run("return document.cookie + location.href")


def test_a_denied_directory_is_said_and_gone_around(browser, guarded):
    served, tokens = guarded
    job = Job(publish(served, tokens["all"]), "fit-1")
    opened(browser, served.url)
    enter(browser, tokens["fit"])
    until(lambda: browser.texts(".denied .reason"), "it is said")
    assert browser.text(".denied .reason").startswith("The broker says: ")
    browser.run("document.querySelector('.denied input[name=stream]').focus()")
    browser.press("fit-1", Keys.ENTER)
    until(lambda: browser.text(".facts .badge") == "running", "a stream can be opened by its name")
    job.steps(1, 2, loss=lambda k: k)
    until(lambda: browser.points("loss") == [[1, 2], [1, 2]], "and is followed")
    browser.press("u")
    browser.run("document.querySelector('.denied input[name=prefix]').focus()")
    browser.press("fit-", Keys.ENTER)
    until(lambda: browser.row("fit-1"), "the list of a prefix is allowed")
    browser.run("location.hash = '#stream=other'")
    until(lambda: "The broker says" in (browser.text(".facts .ending") or ""), "a stream that is denied is said to be")
