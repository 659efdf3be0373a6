"""How the page looks, and what a screen reader finds."""

import datetime
import math

import pytest
from selenium.webdriver.common.keys import Keys
from served import until
from talk import Job, Publisher, monitor


@pytest.fixture
def stage(served):
    """Jobs of all kinds."""
    publisher = Publisher(served.port)

    def ago(seconds):
        return (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=seconds)).isoformat(timespec="seconds")

    fit = Job(publisher, "fit-2026-11-29", total=200, title="Muon decay, two components", started=ago(83))
    shape = [x / 5 for x in range(50)]
    for k in range(2, 140, 2):
        chisq = 1 + 40 * math.exp(-k / 25)
        fit.steps(k, chisq=lambda k: chisq * (1 + 0.1 * math.sin(k * 1.7)), damping=lambda k: 0.1 * math.exp(-k / 40))
        if k in (20, 40, 60, 120):
            curve = [math.exp(-0.45 * x) * (1 + 1.5 * math.exp(-k / 60) * math.sin(2 * x)) for x in shape]
            publisher.put(fit.stream, monitor("Improvement", value=round(chisq, 4), curve={"x": shape, "y": curve}))
    publisher.put(fit.stream, monitor("Log", text="parameter 3 is at its limit", level="warning"))
    publisher.put(fit.stream, monitor("Log", text="cannot write a checkpoint: no space left", level="error"))
    for n, rate in enumerate(("0.1", "0.03", "0.01")):
        job = Job(publisher, f"sweep/lr-{rate}", total=100, title=f"Learning rate {rate}", started=ago(150 + 40 * n))
        job.steps(*range(0, 60 + 15 * n, 1), loss=lambda k, n=n: 2.3 * math.exp(-k / (12 + 15 * n)) + 0.1 + 0.05 * abs(math.sin(k * (3 + n))), accuracy=lambda k, n=n: 1 - 0.9 * math.exp(-k / (14 + 16 * n)))
    Job(publisher, "download/survey", total=5_400_000_000, title="Survey images", started=ago(700), units="bytes").steps(2_300_000_000)
    Job(publisher, "nightly/import", title="Import of run 12", started=ago(320)).end("Error", reason='ValueError: row 812: "n/a" is no number', ended=ago(200))
    Job(publisher, "nightly/report", title="Report", started=ago(400)).end("Complete", result="report.pdf", ended=ago(60))
    Job(publisher, "calibration", title="Calibration", started=ago(4000)).end("Abort", reason="Ctrl-C", ended=ago(3700))
    dying = Publisher(served.port)
    dying.say({"action": "will", "stream": "night-run", "message": monitor("Lost", title="Night run")})
    Job(dying, "night-run", title="Night run", total=5000, started=ago(9000), units="events").steps(3127)
    dying.end()
    publisher.say({"action": "listen", "stream": "not-begun-yet"})
    publisher.close("plain")
    # What it listens to is listened to as long as it is there.
    served.publisher = publisher
    return served


VIEWS = {"list": "", "stream": "#stream=fit-2026-11-29", "compare": "#stream=sweep/lr-0.1&stream=sweep/lr-0.03&stream=sweep/lr-0.01", "failed": "#stream=nightly/import"}


def ready(browser, view):
    if view == "list":
        until(lambda: len(browser.rows()) >= 4 and browser.texts(".chip")[3] == "Trouble3", "the list is whole")
    elif view == "failed":
        until(lambda: browser.text(".facts .badge") == "failed", "it is told")
    else:
        until(lambda: len(browser.texts(".chart h3")) >= 2, "the plots are there")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures(browser, stage, kept, theme):
    for view, fragment in VIEWS.items():
        for size, (width, height) in {"": (1440, 900), "-narrow": (820, 1000), "-phone": (390, 844)}.items():
            browser.open(stage.url + fragment, theme, width, height)
            ready(browser, view)
            browser.shot(kept / f"{view}-{theme}{size}.png")
            wider = "return [document.documentElement, ...document.querySelectorAll('.grid, .stream, .facts, .chart')].filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.className)"
            assert browser.run(wider) == [], (view, theme, size)
    browser.open(stage.url, theme)
    browser.press("?")
    browser.shot(kept / f"keys-{theme}.png")
    browser.press(Keys.ESCAPE)
    stage.kill()
    until(lambda: browser.texts(".banner"), "the loss is shown")
    browser.shot(kept / f"away-{theme}.png")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_serious_stands_in_the_way_of_a_screen_reader(browser, stage, kept, theme):
    source = kept / "npm" / "node_modules" / "axe-core" / "axe.min.js"
    if not source.exists():
        pytest.skip("axe-core could not be fetched")
    script = source.read_text()
    found = []
    for view, fragment in [*VIEWS.items(), ("none", "#search=nonesuch"), ("keys", "")]:
        for width, height in ((1440, 900), (390, 844)):
            browser.open(stage.url + fragment, theme, width, height)
            if view in VIEWS:
                ready(browser, view)
            if view == "keys":
                browser.press("?")
            browser.run(script)
            result = browser.driver.execute_async_script("const done = arguments[0]; axe.run(document, { resultTypes: ['violations'] }).then(done, (error) => done({ violations: [{ id: String(error), impact: 'critical', nodes: [] }] }));")
            found += [(view, width, each["id"], each["impact"], [node["html"][:160] for node in each["nodes"]][:3]) for each in result["violations"] if each["impact"] in ("serious", "critical")]
    assert found == []


def test_an_empty_broker_says_what_to_type(browser, served, kept):
    for theme in ("light", "dark"):
        browser.open(served.url, theme)
        until(lambda: browser.texts(".panel h2") == ["No streams yet"], "it is said")
        browser.shot(kept / f"empty-{theme}.png")


def test_who_wants_no_motion_gets_none(browser, served, publisher):
    Job(publisher, "a").steps(1)
    browser.open(served.url)
    until(lambda: browser.row("a"), "it is there")
    moving = "return getComputedStyle(document.querySelector('.bar .fill')).transitionDuration"
    assert browser.run(moving) != "0s"
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]})
    assert browser.run(moving) == "0s"


def test_a_stream_of_many_series_has_its_plots_in_view(browser, served, publisher, kept):
    for k in range(3):
        publisher.put("wide", {"step": k, **{f"layer{n // 10}/weight{n:03}": n + k for n in range(60)}})
    for width, height in ((1440, 900), (390, 844)):
        browser.open(f"{served.url}#stream=wide", width=width, height=height)
        until(lambda: len(browser.texts(".chart h3")) == 12, "the plots are there")
        browser.shot(kept / f"wide-light-{width}.png")
        assert browser.run("return document.querySelector('.chart').getBoundingClientRect().top") < 0.55 * height
    # One plot alone takes the room that there is.
    browser.open(f"{served.url}#stream=wide&plot=layer0/weight000")
    until(lambda: len(browser.texts(".chart h3")) == 1, "the plot is there")
    assert browser.run("return document.querySelector('.chart').clientWidth / document.querySelector('.charts').clientWidth") > 0.9
