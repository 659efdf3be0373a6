"""Connections that break: nothing is lost or doubled without a word."""

import pytest
from cut import Cut
from selenium.webdriver.common.keys import Keys
from served import until
from talk import Job, Publisher

LOSS = "return (document.querySelector('.chart[data-name=loss]')?.chart.data?.[0].length ?? 0)"


@pytest.fixture
def way(served):
    cut = Cut(served.http)
    yield cut
    cut.close()


def drawn(browser, count):
    until(lambda: browser.run(LOSS) == count, f"{count} points are drawn, not {browser.run(LOSS)}")


def test_a_reload_in_the_middle_loses_no_point(browser, served, publisher):
    job = Job(publisher, "fit", total=300)
    job.steps(*range(0, 100), loss=lambda k: k * k)
    browser.open(f"{served.url}#stream=fit")
    drawn(browser, 100)
    job.steps(*range(100, 200), loss=lambda k: k * k)
    browser.reload()
    job.steps(*range(200, 300), loss=lambda k: k * k)
    drawn(browser, 300)
    assert browser.points("loss") == [list(range(300)), [k * k for k in range(300)]]


def test_a_connection_that_breaks_is_resumed(browser, way, publisher):
    job = Job(publisher, "fit", total=300)
    job.steps(*range(0, 50), loss=lambda k: k)
    browser.open(f"{way.url}#stream=fit")
    drawn(browser, 50)
    way.cut()
    until(lambda: browser.text(".connection .word").startswith(("No connection", "Connecting again")), "the loss is shown")
    assert "no news" in browser.text(".facts .ending") and browser.texts(".banner") != []
    job.steps(*range(50, 120), loss=lambda k: k)
    way.mend()
    browser.live()
    drawn(browser, 120)
    assert browser.points("loss") == [list(range(120)), list(range(120))]
    assert browser.texts(".banner") == [] and "missing" not in (browser.text(".facts .ending") or "")


def test_what_the_window_has_no_more_is_a_told_gap(browser, serve):
    served = serve(REPLAY__STREAM="4KiB")
    way = Cut(served.http)
    job = Job(Publisher(served.port), "fit", total=1000)
    job.steps(*range(0, 10), loss=lambda k: k)
    browser.open(f"{way.url}#stream=fit")
    drawn(browser, 10)
    way.cut()
    until(lambda: not browser.text(".connection").startswith("Live"), "the loss is shown")
    # What comes in one piece is kept or dropped in one piece.
    for start in range(10, 400, 10):
        job.steps(*range(start, start + 10), loss=lambda k: k)
    way.mend()
    browser.live()
    until(lambda: browser.run(LOSS) > 12, "what the window has is drawn")
    x, y = browser.points("loss")
    # The last point before the gap, the break at the same place, then what the window still has, to the end.
    assert x[:11] == [*range(10), 9] and y[:11] == [*range(10), None]
    assert x[11:] == list(range(x[11], 400)) == y[11:] and x[11] > 10
    missing = x[11] - 10
    browser.press("/", "missing here")
    until(lambda: [f"{missing} messages are missing here" in line for line in browser.lines()] == [True], "the tail tells the gap at its place")
    assert f"{missing} messages missing" in browser.text(".facts .ending")
    # Against the number of the message, what is missing has its place too: the first message was the start of the job.
    browser.press(Keys.ESCAPE, "m")
    until(lambda: browser.points("loss")[0][-1] == 400, "the last point has its number")
    assert browser.points("loss")[0][9] == 10 and browser.points("loss")[0][11] == x[11] + 1
    way.close()


def test_a_broker_that_begins_again_is_healed_from(browser, served, publisher):
    job = Job(publisher, "fit", total=200)
    job.steps(*range(0, 50), loss=lambda k: k)
    browser.open(f"{served.url}#stream=fit")
    drawn(browser, 50)
    served.kill()
    until(lambda: browser.text(".connection .word").startswith(("No connection", "Connecting again")), "the loss is shown")
    until(lambda: "no news" in browser.text(".facts .ending"), "the job is not heard of")
    served.start()
    browser.live()
    # The job goes on as it had begun; the broker knows nothing of before.
    again = Job.__new__(Job)
    again.publisher, again.stream, again.known = Publisher(served.port), "fit", job.known
    again.steps(*range(50, 100), loss=lambda k: k)
    drawn(browser, 101)
    x, y = browser.points("loss")
    assert (x, y) == ([*range(50), 49, *range(50, 100)], [*range(50), None, *range(50, 100)])
    assert browser.text(".facts .badge") == "running" and "99/200" in browser.text(".facts .told")
    assert "does not know how many" in browser.text(".facts .ending")
    browser.press("u")
    until(lambda: browser.row("fit") and "99/200" in browser.row("fit")["far"], "the list is true again")


def test_the_list_forgets_what_the_broker_has_forgotten(browser, served, publisher):
    for k in range(60):
        publisher.put(f"one-{k:02}", k, header=k)
    browser.open(f"{served.url}#sort=name")
    until(lambda: browser.text(".list > .foot") == "60 streams", "all are there")
    served.kill()
    until(lambda: browser.row("one-00")["how"].endswith("no news"), "they are shown as they stood")
    served.start()
    Job(Publisher(served.port), "two")
    browser.live()
    until(lambda: [row["name"] for row in browser.rows()] == ["two"], "the list is that of the new broker")
    assert browser.text(".list > .foot") == "1 stream"


def test_looking_at_a_stream_does_not_keep_it(browser, served, publisher):
    publisher.say({"action": "listen", "stream": "mistyped"})
    Job(publisher, "real", title="It is looked at")
    browser.open(served.url)
    until(lambda: browser.row("mistyped") and "It is looked at" in browser.row("real")["what"], "what is in view is listened to")
    publisher.say({"action": "hangup", "stream": "mistyped"})
    until(lambda: [row["name"] for row in browser.rows()] == ["real"], "nobody waits for it any more")
