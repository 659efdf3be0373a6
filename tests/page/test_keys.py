"""All of it by the keyboard alone."""

from selenium.webdriver.common.keys import Keys
from served import until
from talk import Job


def hash_of(browser):
    return browser.run("return location.hash")


def test_the_keyboard_is_enough(browser, served, publisher):
    for name in ("a-1", "a-2", "b-1"):
        Job(publisher, name).steps(1, 2, 3, loss=lambda k: k)
    publisher.close("b-1")
    browser.open(served.url)
    until(lambda: len(browser.rows()) == 3, "all are listed")
    browser.press("?")
    assert browser.run("return document.querySelector('.help').open")
    browser.press(Keys.ESCAPE)
    assert not browser.run("return document.querySelector('.help').open")
    browser.press("j", "j", "k")
    assert browser.run("return document.querySelector('.row.current .name').textContent") == "a-1"
    assert browser.run("return document.activeElement.getAttribute('aria-activedescendant') === document.querySelector('.row.current').id")
    browser.press("x", "j", "x")
    assert browser.texts(".tools .primary") == ["Compare 2"]
    browser.press(Keys.ENTER)
    assert hash_of(browser) == "#stream=a-1&stream=a-2"
    until(lambda: browser.texts(".chart h3") == ["loss"], "the plot is there")
    browser.press("l", "m", "L")
    assert hash_of(browser) == "#stream=a-1&stream=a-2&x=message&logx=1&logy=1"
    # From messages to the time since the beginning, the time of day, and steps again.
    browser.press("L", "m", "m", "m", "+")
    until(lambda: browser.run("return document.querySelector('.chart').chart.zoomed !== null"), "it is zoomed")
    browser.press("0")
    assert browser.run("return document.querySelector('.chart').chart.zoomed === null")
    browser.press("u")
    until(lambda: len(browser.rows()) == 3, "back at the list")
    browser.press("/", "b-1", Keys.ESCAPE)
    until(lambda: [row["name"] for row in browser.rows()] == ["b-1"], "the search holds")
    browser.press(Keys.ESCAPE)
    until(lambda: len(browser.rows()) == 3, "it is cleared")
    browser.press("2")
    until(lambda: [row["name"] for row in browser.rows()] == ["a-1", "a-2"], "only running ones")
    browser.press("p", "a-2", Keys.ESCAPE)
    until(lambda: [row["name"] for row in browser.rows()] == ["a-2"], "and of one beginning")
    assert hash_of(browser) == "#prefix=a-2&state=running"
    browser.press(Keys.ESCAPE, "g", "o")
    assert hash_of(browser) == "#stream=a-1&logy=1"
    browser.press("]")
    until(lambda: browser.text(".facts h1") == "a-2", "the next one of the list")
    browser.press("a", "b-1", Keys.ENTER)
    until(lambda: browser.texts(".facts h1") == ["a-2", "b-1"], "compared by its name")
    before = browser.run("return document.documentElement.dataset.shown")
    browser.press(Keys.ESCAPE, "t")
    assert browser.run("return document.documentElement.dataset.shown") != before
    browser.press("t")


def test_every_control_can_be_reached_with_tab(browser, served, publisher):
    Job(publisher, "a").steps(1, 2, loss=lambda k: k)
    browser.open(f"{served.url}#stream=a")
    until(lambda: browser.texts(".chart h3") == ["loss"], "the plot is there")
    reached = set()
    for _ in range(40):
        browser.press(Keys.TAB)
        reached.add(browser.run("const at = document.activeElement; return at.getAttribute('aria-label') ?? at.textContent"))
    for control in ("← All streams", "Name of a stream to compare with", "Copy link", "step", "log y", "Pause", "Search the messages", "Messages", "Keys"):
        assert control in reached, (control, reached)
    assert any("loss against step: 2 points, last 2" in each for each in reached)
