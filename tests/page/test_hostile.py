"""Names and content from anybody: text, and never too much of it."""

from served import until
from talk import Job, monitor

NAMES = [
    '<img src=x onerror=alert(1)>', '"><script>alert(1)</script>', "javascript:alert(1)", "a/../../b?c#d&e=f", "%3Cb%3E", "\u202eevil\u2066", "تجربة", "🧪" * 20,
    " leading and  double ", "x" * 1000, "__proto__", "constructor", "nul\u0000l\u001b[31m", "'; drop", "a\nb",
]


def test_names_are_text(browser, served, publisher):
    for name in NAMES:
        Job(publisher, name, title=f"title of {name}")
    browser.open(served.url)
    until(lambda: len(browser.rows()) == len(NAMES), "all are listed")
    said = {row["name"] for row in browser.rows()}
    assert NAMES[0] in said and NAMES[1] in said and "\ufffdevil\ufffd" in said and " leading and  double " in said
    assert browser.run("return document.querySelectorAll('#place img, #place script, #place b').length") == 0
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    for name in NAMES:
        browser.run("location.hash = '#stream=' + encodeURIComponent(arguments[0])", name)
        until(lambda: browser.text(".facts .badge") == "running", f"{name!r} is opened")
        assert browser.run("return document.querySelector('.facts h1').textContent.length") > 0
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        browser.press("u")
        until(lambda: browser.text(".facts .badge") is None, "back at the list")


def test_content_is_text(browser, served, publisher):
    bad = '<img src=x onerror="alert(1)">'
    Job(publisher, "bad", title=bad)
    publisher.put("bad", bad)
    publisher.put("bad", monitor("Log", text=bad, level=bad))
    publisher.put("bad", {bad: 1, "__proto__": 2, "constructor": 3})
    publisher.put("bad", {bad: 2, "__proto__": 3, "constructor": 4})
    publisher.put("bad", monitor("Progress", k=1, total=bad, units={"a": bad}, text=[bad]))
    publisher.put("bad", monitor("Error", reason=bad, traceback=bad))
    browser.open(f"{served.url}#stream=bad")
    until(lambda: browser.text(".facts .badge") == "failed", "all is read")
    until(lambda: len(browser.texts(".chart h3")) == 3, "its numbers are drawn")
    assert bad in browser.text(".facts .ending")
    assert browser.run("return document.querySelectorAll('#place img').length") == 0


def test_messages_without_end_do_not_stop_the_page(browser, served, publisher):
    browser.open(f"{served.url}#stream=hostile")
    wide = b"{" + b",".join(b'"key%d":%d' % (k, k) for k in range(100_000)) + b"}"
    deep = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
    flat = b"[" * 100_000 + b"]" * 100_000
    large = b'"' + b"x" * (9 * 1024 * 1024) + b'"'
    for content in (wide, deep, flat, large, wide, b'{"loss":1}', b'{"loss":2}'):
        publisher.raw(b'{"action":"put","stream":"hostile","message":' + content + b"}")
    until(lambda: any('"loss":2' in line for line in browser.lines()), "the page goes on")
    until(lambda: "further series are not kept" in browser.text(".plots .foot"), "what is left out is told")
    assert any("9 MiB, too large to be read here" in line for line in browser.lines())
    assert browser.run("return document.querySelectorAll('*').length") < 3000
    # A message can be looked at whole, as far as it is kept.
    browser.run("document.querySelector('.scroller').focus()")
    browser.press("k", "k", "k")
    until(lambda: browser.texts(".detail pre"), "a message is shown")
    assert browser.run("return document.querySelector('.detail pre').textContent.length") <= 66_000


def test_a_flood_is_bounded(browser, served, publisher):
    browser.open(f"{served.url}#stream=flood")
    for start in range(0, 40_000, 1000):
        publisher.say(*({"action": "put", "stream": "flood", "message": {"step": k, "loss": 1 / (k + 1)}} for k in range(start, start + 1000)))
    until(lambda: (data := browser.points("loss")) and data[0][-1] == 39_999, "the last point is drawn")
    x = browser.points("loss")[0]
    assert len(x) <= 8000 and x == sorted(x) and x[0] == 0
    assert "thinned out" in browser.text(".chart .note")
    assert "the last 5,000 are kept" in browser.text(".tail .counted")
    assert browser.run("return document.querySelectorAll('*').length") < 2000


def test_a_page_that_falls_behind_says_so(browser, served, publisher):
    # Frames are held back, as by a machine that has no time for them.
    holding = """window.held = null; const real = requestAnimationFrame;
        window.requestAnimationFrame = (does) => (held ? held.push(does) : real(does));
        window.release = () => { const all = held; held = null; for (const does of all) real(does); };"""
    added = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": holding})
    try:
        publisher.put("flood", {"step": 0, "loss": 1})
        browser.open(f"{served.url}#stream=flood&x=time")
        until(lambda: browser.lines(), "it is read")
        browser.run("held = []")
        publisher.say(*({"action": "put", "stream": "flood", "message": {"step": k, "loss": 1 / k}} for k in range(1, 3001)))
        until(lambda: browser.text(".connection") == "Live · 3,000 messages behind" or browser.text(".connection") == "Live · 3,001 messages behind", "it is told")
        came = browser.module("clock.js", "return m.now();")
        browser.run("release()")
        until(lambda: browser.text(".connection") == "Live", "all is read")
        until(lambda: browser.points("loss") and len(browser.points("loss")[0]) == 3000, "all is drawn")
        # When it came, not when there was time for it.
        assert browser.points("loss")[0][-1] < came
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": added["identifier"]})
