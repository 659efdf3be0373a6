"""What plots stand against, and which part of it is looked at."""

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from served import until
from talk import Job, monitor

SCALES = "return [...document.querySelectorAll('.chart')].filter((each) => each.chart.plot).map(({ chart }) => [chart.name, chart.plot.scales.x.min, chart.plot.scales.x.max])"


def scales(browser):
    return {name: (least, most) for name, least, most in browser.run(SCALES)}


@pytest.fixture
def fit(publisher):
    job = Job(publisher, "fit")
    job.steps(*range(100), loss=lambda k: 1000 - k, rate=lambda k: k)
    for k in (1, 2):
        publisher.put("fit", monitor("Improvement", value=k, curve={"x": [0, 1, 2, 3], "y": [0, k, 2 * k, k]}))
    return job


def test_the_part_that_is_looked_at_is_in_the_address(browser, served, fit):
    browser.open(f"{served.url}#stream=fit")
    until(lambda: len(scales(browser)) == 4, "all is drawn")
    over = browser.driver.find_element("css selector", ".chart[data-name=loss] .u-over")
    ActionChains(browser.driver).move_to_element(over).click_and_hold().move_by_offset(60, 0).release().perform()
    zoomed = until(lambda: (now := scales(browser))["loss"][1] < 90 and now["rate"] == now["loss"] and now["loss"], "all plots of this axis show it")
    assert 45 < zoomed[0] < 55 < zoomed[1] and scales(browser)["curve.y"] == (0, 3)
    least, most = (float(part) for part in browser.run("return new URLSearchParams(location.hash.slice(1)).get('range')").split(":"))
    assert (least, most) == zoomed
    # Another one with this address sees the same.
    address = browser.run("return location.href")
    browser.open(f"{served.url}#stream=other")
    browser.open(address)
    until(lambda: (now := scales(browser)).get("loss") == now.get("rate") == zoomed, "the address is the view")
    browser.run("document.querySelector('.chart[data-name=\"curve.y\"]').focus()")
    browser.press("+")
    until(lambda: scales(browser)["curve.y"] == (0.75, 2.25) and "curverange=0.75:2.25" in browser.run("return location.hash"), "curves have a part of their own")
    assert scales(browser)["loss"] == zoomed
    fit.steps(*range(100, 120), loss=lambda k: 1000 - k)
    browser.wait("return document.querySelector('.chart[data-name=loss]').chart.data[0].length === 120", what="the plot goes on")
    assert scales(browser)["loss"] == zoomed
    browser.run("document.activeElement.blur()")
    browser.press("0")
    until(lambda: scales(browser)["loss"] == (0, 119) and browser.run("return location.hash") == "#stream=fit", "all of it again")


def test_a_part_that_cannot_be_shown_is_passed_over(browser, served, fit):
    for part in ("9:1", "a:b", "1", "1:2:3", ":", "NaN:1", "0:1e999", "%00:1"):
        browser.open(f"{served.url}#stream=fit&range={part}&curverange={part}")
        until(lambda: scales(browser).get("loss") == (0, 99), "all is shown")
    browser.open(f"{served.url}#stream=fit&range=-5:50&logx=1")
    until(lambda: scales(browser).get("loss") == (1, 50), "a logarithmic axis begins with the first point above zero")
    browser.open(f"{served.url}#stream=fit&range=500:600")
    until(lambda: browser.texts(".chart[data-name=loss] .note") == ["nothing is in this part of the axis"], "it is told")
    # It is a part of this axis alone, and of this job.
    browser.press("m")
    until(lambda: browser.run("return location.hash") == "#stream=fit&x=message", "another axis has all of it")


def values(browser, name):
    return browser.text(f".chart[data-name={name}] .values")


def note(browser, name):
    return browser.texts(f".chart[data-name={name}] .note")


def test_what_is_no_number_is_told_as_the_newest(browser, served, publisher):
    browser.open(f"{served.url}#stream=fit")
    for k in range(10):
        publisher.put("fit", {"step": k, "loss": 1 / (k + 1) if k < 6 else "NaN", "grad": k if k < 8 else "-inf", "norm": "nan", "name": "nancy"})
    until(lambda: browser.points("loss") == [list(range(10)), [1 / (k + 1) for k in range(6)] + [None] * 4], "the line ends where the numbers do")
    until(lambda: (values(browser, "loss"), values(browser, "grad"), values(browser, "norm")) == ("NaN", "-Infinity", "NaN"), "the newest values are told")
    assert note(browser, "norm") == ["nothing to draw"] and browser.texts(".chart h3") == ["loss", "grad", "norm"]
    for text in ("loss=0.5", "loss=inf", "loss=0.25 grad=nan"):
        publisher.put("fit", text)
    until(lambda: (values(browser, "loss"), values(browser, "grad")) == ("0.25", "NaN"), "lines of text are read the same way")


def test_a_logarithmic_axis_tells_what_it_has_no_place_for(browser, served, publisher):
    Job(publisher, "fit").steps(*range(10), bound=lambda k: -1 - k, gap=lambda k: 5 - k, chisq=lambda k: 1 + k)
    browser.open(f"{served.url}#stream=fit&logy=1")
    until(lambda: note(browser, "gap") == ["5 points left out: a logarithmic axis has no place for zero and below"], "some are left out")
    assert note(browser, "bound") == ["nothing to draw on these axes: a logarithmic axis has no place for zero and below"]
    assert note(browser, "chisq") == [] and browser.run("return document.querySelector('.chart[data-name=bound]').chart.plot") is None
    # What is told is the newest value, not the newest that could be drawn.
    assert (values(browser, "gap"), values(browser, "bound")) == ("-4", "-10")
    browser.press("l")
    until(lambda: note(browser, "gap") == [] == note(browser, "bound"), "all have a place on the other axis")
    browser.press("L")
    until(lambda: note(browser, "chisq") == ["1 point left out: a logarithmic axis has no place for zero and below"], "nor along")


def test_plots_stand_against_the_time_that_messages_tell(browser, served, publisher):
    began = 1795867200
    publisher.say({"action": "header", "stream": "own", "message": monitor("Join", started="2026-11-28T12:00:00Z")})
    publisher.say(*({"action": "put", "stream": "own", "message": {"step": k, "timestamp": (began + 60 * k) * 1000, "loss": k}} for k in range(10)))
    publisher.say(*({"action": "put", "stream": "iso", "message": {"step": k, "time": f"2026-11-28T13:0{k}:00.500+0100", "loss": k, "rate": k}} for k in range(10)))
    publisher.say(*({"action": "put", "stream": "bar", "message": {"n": k, "total": 10, "elapsed": 1.5 * k, "loss": k}} for k in range(10)))
    browser.open(f"{served.url}#stream=own&x=time")
    until(lambda: (browser.points("loss") or [[]])[0] == [began + 60 * k for k in range(10)], "the messages tell it")
    assert note(browser, "loss") == []
    browser.open(f"{served.url}#stream=own&x=elapsed")
    until(lambda: (browser.points("loss") or [[]])[0] == [60 * k for k in range(10)], "and since the job began")
    browser.open(f"{served.url}#stream=iso&x=time")
    until(lambda: (browser.points("loss") or [[]])[0] == [began + 60 * k + 0.5 for k in range(10)], "in words")
    browser.open(f"{served.url}#stream=bar&x=elapsed")
    until(lambda: (browser.points("loss") or [[]])[0] == [1.5 * k for k in range(10)], "as a bar tells it")
    # When that began nobody has said, so the time of day is not known.
    browser.press("m")
    until(lambda: note(browser, "loss") == ["nothing to draw: 10 points left out: no time is told"], "it is not made up")
    # How long something takes is a value like others.
    publisher.say(*({"action": "put", "stream": "took", "message": {"step": k, "time": 0.25}} for k in range(3)))
    browser.open(f"{served.url}#stream=took")
    until(lambda: browser.points("time") == [[0, 1, 2], [0.25] * 3], "it is drawn")


def test_a_time_that_nobody_knows_is_not_made_up(browser, served, publisher):
    job = Job(publisher, "fit", started="2026-11-28T12:00:00+00:00")
    job.steps(*range(5), loss=lambda k: k)
    browser.open(f"{served.url}#stream=fit&x=time")
    until(lambda: note(browser, "loss") == ["nothing to draw: 5 points left out: no time is told, and nobody was looking when they came"], "it is said")
    before = browser.module("clock.js", "return m.now();")
    job.steps(*range(5, 8), loss=lambda k: k)
    until(lambda: browser.points("loss") and len(browser.points("loss")[0]) == 3, "what comes while somebody looks has a time")
    x, y = browser.points("loss")
    assert y == [5, 6, 7] and all(before <= at <= browser.module("clock.js", "return m.now();") for at in x)
    assert note(browser, "loss") == ["5 points left out: no time is told, and nobody was looking when they came · at the time at which this page heard them"]
    browser.press("m", "m", "m")
    until(lambda: browser.run("return location.hash") == "#stream=fit&x=elapsed", "the key goes round")
    began = browser.module("words.js", "return m.timeOf('2026-11-28T12:00:00Z');")
    until(lambda: browser.points("loss")[0] == [at - began for at in x], "since the job began, by its own word")
