"""Watching jobs: they appear, progress, are plotted, end."""

import datetime
import re

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from served import until
from talk import Job, Publisher, monitor


def test_a_job_appears_progresses_plots_and_ends(browser, served, publisher):
    browser.open(served.url)
    assert "msgstream run my-job -- ./job" in browser.text(".panel pre")
    job = Job(publisher, "fit", total=40, title="Decay")
    row = until(lambda: browser.row("fit"), "the job appears")
    job.steps(*range(1, 11), chisq=lambda k: 100 / k)
    row = until(lambda: (row := browser.row("fit")) and "25%" in row["far"] and row, "the job progresses")
    assert "running" in row["how"] and "10/40 steps" in row["far"] and "Decay" in row["what"] and row["ears"] == "0"
    browser.click(".rows .row .name")
    browser.wait("return document.querySelector('.chart[data-name=chisq]')?.chart.data?.[0].length === 10", what="the plot has the window")
    job.steps(*range(11, 21), chisq=lambda k: 100 / k)
    browser.wait("return document.querySelector('.chart[data-name=chisq]').chart.data[0].length === 20", what="the plot goes on")
    assert browser.points("chisq") == [list(range(1, 21)), [100 / k for k in range(1, 21)]]
    assert "20/40 steps" in browser.text(".facts .told")
    job.end("Complete", result="fit.csv", ended="2026-11-28T12:00:04+00:00")
    until(lambda: browser.text(".facts .badge") == "done", "the end is shown")
    assert browser.text(".facts .ending").startswith("done in 4 s: fit.csv")
    until(lambda: any("the stream has ended: done in 4 s: fit.csv" in line for line in browser.lines()), "the tail tells the end")


def test_every_end_is_told_by_its_name(browser, served, publisher):
    Job(publisher, "bad").end("Error", reason="exit status 2")
    Job(publisher, "stopped").end("Abort", reason="Ctrl-C")
    publisher.close("plain")
    dying = Publisher(served.port)
    dying.say({"action": "will", "stream": "gone", "message": monitor("Lost")})
    Job(dying, "gone")
    dying.end()
    browser.open(served.url)
    words = {"bad": "failed", "stopped": "aborted", "plain": "ended", "gone": "lost"}
    until(lambda: {row["name"]: row["how"].split()[0] for row in browser.rows()} == words, "all ends are told")
    assert "exit status 2" in browser.row("bad")["what"]
    assert browser.texts(".chip")[3] == "Trouble3"
    browser.press("4")
    until(lambda: {row["name"] for row in browser.rows()} == {"bad", "stopped", "gone"}, "the filter holds")


def test_two_runs_are_compared(browser, served, publisher):
    for name, scale in (("run-a", 1), ("run-b", 2)):
        Job(publisher, name).steps(*range(0, 30, scale), loss=lambda k, scale=scale: scale / (k + 1))
    browser.open(f"{served.url}#stream=run-a&stream=run-b")
    browser.wait("return document.querySelector('.chart[data-name=loss]')?.chart.data?.length === 3 && document.querySelector('.chart[data-name=loss]').chart.data[2].some((y) => y != null)", what="both are in one plot")
    x, a, b = browser.points("loss")
    assert x == list(range(30))
    assert a == [1 / (k + 1) for k in x]
    # What is not there in a series is passed over, which a break is not.
    assert [y for k, y in zip(x, b) if k % 2 == 0] == [2 / (k + 1) for k in range(0, 30, 2)]
    assert len(browser.texts(".facts h1")) == 2
    browser.press("l")
    assert "logy=1" in browser.run("return location.hash")


def test_a_curve_stands_with_the_one_before_it(browser, served, publisher):
    Job(publisher, "fit")
    for factor in (1, 2):
        publisher.put("fit", monitor("Improvement", value=factor, curve={"x": [0, 1, 2], "y": [0, factor, 2 * factor]}))
    browser.open(f"{served.url}#stream=fit")
    browser.wait("return document.querySelector('.chart[data-name=\"curve.y\"]')?.chart.data?.length === 3", what="the curve is drawn")
    assert browser.points("curve.y") == [[0, 1, 2], [0, 1, 2], [0, 2, 4]]


def test_a_name_used_again_is_another_run(browser, served, publisher):
    Job(publisher, "fit").steps(1, 2, 3, loss=lambda k: k)
    browser.open(f"{served.url}#stream=fit")
    browser.wait("return document.querySelector('.chart[data-name=loss]')?.chart.data?.[0].length === 3", what="the first run is drawn")
    publisher.close("fit")
    until(lambda: browser.text(".facts .badge") == "ended", "it has ended")
    Job(publisher, "fit", started="2026-11-28T13:00:00+00:00", title="Again").steps(1, 2, loss=lambda k: 10 * k)
    until(lambda: browser.text(".facts .badge") == "running", "it runs again")
    until(lambda: (browser.points("loss") or [[]])[-1][:2] == [10, 20], "the new run is drawn")
    assert browser.points("loss") == [[1, 2, 3], [1, 2, 3], [10, 20, None]]
    until(lambda: "another run begins" in browser.lines(), "it is told")
    assert "Again" in browser.text(".facts .title")


def test_the_list_shows_the_next_run(browser, served, publisher):
    browser.open(served.url)
    for turn, end in enumerate(("Error", "Abort")):
        Job(publisher, "fit", title=f"Turn {turn}").steps(30 + turn)
        until(lambda: (row := browser.row("fit")) and f"{30 + turn}%" in row["far"] and "running" in row["how"] and f"Turn {turn}" in row["what"], "it runs")
        publisher.say({"action": "put", "stream": "fit", "message": monitor(end, reason="no")}, {"action": "close", "stream": "fit"})
        word = {"Error": "failed", "Abort": "aborted"}[end]
        until(lambda: browser.row("fit")["how"].startswith(word), "its end is told")
    # Whoever sets the header alone tells no listener: the directory does.
    publisher.say({"action": "header", "stream": "fit", "message": monitor("Join", title="Third", k=77, total=100)})
    until(lambda: (row := browser.row("fit"))["how"].startswith("running") and "77%" in row["far"] and "Third" in row["what"], "the third run is shown")


def test_a_header_alone_begins_a_stream_that_was_waited_for(browser, served, publisher):
    browser.open(f"{served.url}#stream=late")
    until(lambda: "nobody has begun this stream yet" in (browser.text(".facts .ending") or ""), "it is waited for")
    publisher.say({"action": "header", "stream": "late", "message": monitor("Join", title="Late", k=5, total=10)})
    until(lambda: browser.text(".facts .badge") == "running" and "50%" in browser.text(".facts .told"), "its header is shown")
    publisher.put("late", monitor("Progress", k=6))
    publisher.put("late", monitor("Progress", k=7, loss=1))
    until(lambda: "7/10" in browser.text(".facts .told"), "it goes on")
    assert browser.text(".facts .ending") in ("", None) or browser.texts(".facts .ending") == []
    assert browser.lines() == ["6", "7  loss 1"]


def test_the_tail_stands_still_and_is_searched(browser, served, publisher):
    browser.open(f"{served.url}#stream=log")
    publisher.say(*({"action": "put", "stream": "log", "message": monitor("Log", text=f"line {k}", level="error" if k == 3 else "info")} for k in range(6)))
    until(lambda: len(browser.lines()) == 6, "all lines are there")
    browser.press(" ")
    publisher.put("log", "later")
    until(lambda: "1 new" in browser.text(".tail .counted"), "what is new is counted")
    assert "later" not in browser.lines()
    browser.press("/", "later", Keys.ESCAPE)
    until(lambda: browser.texts(".nothing") == ["No message fits."], "what is new is not found before it goes on")
    browser.press("/", *(Keys.BACKSPACE for _ in "later"), Keys.ESCAPE)
    browser.press(" ")
    until(lambda: browser.lines()[-1] == "later", "it goes on")
    browser.press("/", "line 4")
    until(lambda: browser.lines() == ["line 4"], "the search holds")
    assert "find=line+4" in browser.run("return location.hash")
    browser.reload()
    until(lambda: browser.lines() == ["line 4"], "the address is the view")
    browser.open(f"{served.url}#stream=log&level=errors")
    until(lambda: browser.lines() == ["line 3"], "the level holds")


def test_the_page_itself_is_no_listener_that_counts(browser, served, publisher):
    job = Job(publisher, "fit")
    browser.open(served.url)
    until(lambda: browser.row("fit"), "the job appears")
    other = Publisher(served.port)
    other.say({"action": "listen", "stream": "fit"})
    until(lambda: browser.row("fit")["ears"] == "1", "the other listener is counted")
    job.steps(1)
    until(lambda: "1/100" in browser.row("fit")["far"] and browser.row("fit")["many"].startswith("2"), "the directory has told again")
    assert browser.row("fit")["ears"] == "1"


def test_a_plot_is_read_and_zoomed_with_the_pointer(browser, served, publisher):
    job = Job(publisher, "fit")
    job.steps(*range(100), loss=lambda k: 1000 - k)
    browser.open(f"{served.url}#stream=fit")
    browser.wait("return document.querySelector('.chart[data-name=loss] .u-over') !== null", what="the plot is drawn")
    over = browser.driver.find_element("css selector", ".chart[data-name=loss] .u-over")
    ActionChains(browser.driver).move_to_element_with_offset(over, 0, 0).perform()
    until(lambda: re.search(r"step (49|50)", browser.text(".values")), "the value under the pointer is told")
    step, value = (int(number) for number in re.fullmatch(r"step (\d+)(\d{3})", browser.text(".values")).groups())
    assert value == 1000 - step
    ActionChains(browser.driver).click_and_hold().move_by_offset(60, 0).release().perform()
    scale = "const { min, max } = document.querySelector('.chart[data-name=loss]').chart.plot.scales.x; return [min, max]"
    until(lambda: browser.run(scale)[1] < 90, "it is zoomed")
    zoomed = browser.run(scale)
    assert 45 < zoomed[0] < 55 < zoomed[1]
    # What comes meanwhile does not take the zoom away.
    job.steps(*range(100, 120), loss=lambda k: 1000 - k)
    browser.wait("return document.querySelector('.chart[data-name=loss]').chart.data[0].length === 120", what="the plot goes on")
    assert browser.run(scale) == zoomed
    assert browser.texts(".plots .quiet") == ["Whole range"]
    browser.press("0")
    until(lambda: browser.run(scale) == [0, 119], "all of it again")
    assert browser.texts(".plots .quiet") == []


def test_a_broker_that_stops_is_quoted(browser, served, publisher):
    Job(publisher, "fit")
    browser.open(f"{served.url}#stream=fit")
    until(lambda: browser.text(".facts .badge") == "running", "it is shown")
    served.stop()
    until(lambda: browser.texts(".banner"), "the loss is shown")
    until(lambda: any("the connection has ended:" in line and "stop" in line for line in browser.lines()), "the broker's own word is in the tail")


def test_more_series_than_are_kept_are_told(browser, served, publisher):
    browser.open(f"{served.url}#stream=wide")
    for k in range(3):
        publisher.put("wide", {"step": k, **{f"s{n:03}": n + k for n in range(100)}})
    told = "36 further series are not kept: a stream has at most 64"
    until(lambda: any(text.startswith(told) for text in browser.texts(".plots > .foot")), "it is told")
    assert len(browser.texts(".chart h3")) == 12
    browser.run("[...document.querySelectorAll('.plots .quiet')].find((each) => each.textContent === 'Show all 64 plots').click()")
    until(lambda: browser.run("return document.querySelectorAll('.chart').length") == 64, "all are shown")
    browser.open(f"{served.url}#stream=wide&plot=s007")
    until(lambda: browser.texts(".chart h3") == ["s007"], "the address says which")


def test_a_wrong_clock_of_the_browser_changes_nothing(browser, served, publisher):
    began = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=10)
    job = Job(publisher, "fit", started=began.isoformat(timespec="seconds"))
    job.steps(50)
    for hours in (-30, 30):
        wrong = f"const real = Date.now; Date.now = () => real() + {hours} * 3600e3;"
        added = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": wrong})
        try:
            browser.open(served.url)
            until(lambda: re.fullmatch(r"\d+ s", browser.row("fit")["when"]) and re.search(r"\n10 min", browser.row("fit")["how"]) and "min" in browser.row("fit")["fast"], "times are those of the broker")
            assert re.search(r"(9|10) min.* left", browser.row("fit")["fast"])
        finally:
            browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": added["identifier"]})


def test_a_stream_with_messages_and_no_header_runs_in_every_view(browser, served, publisher):
    publisher.put("text", "a line")
    publisher.put("number", 5)
    publisher.say({"action": "put", "stream": "log", "message": {"level": "info", "msg": "hot"}}, {"action": "listen", "stream": "later"})
    browser.open(served.url)
    until(lambda: {row["name"]: row["how"].split()[0] for row in browser.rows()} == {"text": "running", "number": "running", "log": "running", "later": "waiting"}, "the list tells it")
    for name, word in (("text", "running"), ("number", "running"), ("log", "running"), ("later", "waiting")):
        browser.open(f"{served.url}#stream={name}")
        until(lambda: browser.text(".facts .badge") == word, f"{name} is {word}")
    # Its header may come later, and is shown all the same.
    browser.open(f"{served.url}#stream=text")
    until(lambda: browser.text(".facts .badge") == "running", "it runs")
    publisher.say({"action": "header", "stream": "text", "message": monitor("Join", title="At last", k=5, total=10)})
    until(lambda: "At last" in browser.text(".facts .title") and "50%" in browser.text(".facts .told"), "its header is shown")


def test_a_job_that_stalls_is_seen_in_its_view(browser, served, publisher):
    Job(publisher, "fit").steps(1)
    browser.open(f"{served.url}#stream=fit")

    def heard():
        return browser.run("return [...document.querySelectorAll('.facts dl div:not([hidden])')].find((each) => each.firstChild.textContent === 'last heard')?.lastChild.textContent ?? null")

    until(lambda: (text := heard()) and re.fullmatch(r"[1-9]\d* s ago", text), "it is told how long nothing has come")
    Job(publisher, "fit").end("Complete")
    until(lambda: browser.text(".facts .badge") == "done" and heard() is None, "what has ended is not waited for")


def test_a_start_in_another_zone_or_in_the_future_makes_no_times_up(browser, served, publisher):
    now = datetime.datetime.now(datetime.timezone.utc)
    lima = (now - datetime.timedelta(minutes=10)).astimezone(datetime.timezone(datetime.timedelta(hours=-5)))
    Job(publisher, "lima", started=lima.strftime("%Y-%m-%dT%H:%M:%S%z")).steps(50)
    # The time of day in Tokyo, which says nothing of that.
    Job(publisher, "tokyo", started=(now + datetime.timedelta(hours=9)).strftime("%Y-%m-%dT%H:%M:%S")).steps(50)
    browser.open(served.url)
    until(lambda: (row := browser.row("lima")) and "50%" in row["far"] and row["how"].split("\n")[-1].startswith("10 min"), "its zone is read")
    assert "left" in browser.row("lima")["fast"]
    until(lambda: "50%" in browser.row("tokyo")["far"] and browser.row("tokyo")["how"] == "running", "how long the other runs is not known")


def test_after_sleep_times_are_right_and_connections_are_doubted(browser, served, publisher):
    sleeping = """window.slept = 0; window.said = [];
        const [date, ask, send] = [Date.now, fetch, WebSocket.prototype.send];
        Date.now = () => date() + slept;
        window.fetch = async (...request) => {
            const { headers } = await ask(...request);
            return { headers: { get: (name) => new Date(Date.parse(headers.get(name)) + slept).toUTCString() } };
        };
        WebSocket.prototype.send = function (text) { said.push(text); send.call(this, text); };"""
    added = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": sleeping})
    try:
        Job(publisher, "fit").steps(1)
        browser.open(served.url)
        until(lambda: (row := browser.row("fit")) and re.fullmatch(r"\d+ s", row["when"]), "it was heard just now")
        # The monotonic clock of the browser stands still meanwhile.
        browser.run("slept = 3600e3")
        until(lambda: browser.row("fit")["when"] == "1 h", "it was heard an hour ago")
        assert any('"there"' in text for text in browser.run("return said"))
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": added["identifier"]})
