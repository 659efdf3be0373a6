"""Ten thousand streams."""

import json

from served import until

COUNT = 10_000

SCROLL = """
const done = arguments[0], grid = document.querySelector(".grid"), times = [], rows = [];
let last = performance.now(), y = 0;
const start = last;
requestAnimationFrame(function step() {
    const now = performance.now();
    times.push(now - last);
    last = now;
    y += 150;
    grid.scrollTop = y;
    rows.push(document.querySelectorAll(".rows .row").length);
    if (now - start < 2000) return requestAnimationFrame(step);
    times.sort((a, b) => a - b);
    done({ rate: times.length / ((now - start) / 1000), usual: times[times.length >> 1], most: Math.max(...rows), top: grid.scrollTop });
});
"""


def test_ten_thousand_streams_scroll(browser, served, publisher):
    for start in range(0, COUNT, 1000):
        publisher.say(*({"action": "header", "stream": f"many-{k:05}", "message": {"k": k % 100, "total": 100}} for k in range(start, start + 1000)))
    browser.open(f"{served.url}#sort=name")
    until(lambda: browser.text(".list > .foot") == "10,000 streams", "all are there")
    measured = browser.driver.execute_async_script(SCROLL)
    print(f"\n{measured['rate']:.0f} frames a second while scrolling, {measured['usual']:.1f} ms the usual one")
    assert measured["most"] < 60
    assert measured["rate"] > 5, measured
    until(lambda: browser.run("return document.querySelectorAll('.rows .row').length") < 60, "no more rows than are seen")
    # What is seen after it has settled is right, to the last row.
    browser.run("document.querySelector('.grid').scrollTop = 1e9")
    until(lambda: browser.rows()[-1]["name"] == "many-09999" and browser.rows()[-1]["far"].startswith("99%"), "the last one is in view")
    names = [row["name"] for row in browser.rows()]
    assert names == [f"many-{k:05}" for k in range(COUNT - len(names), COUNT)]
    # Only streams in view are listened to, and they are left when they are not.
    browser.run("document.querySelector('.grid').scrollTop = 0")
    until(lambda: browser.rows()[0]["name"] == "many-00000" and browser.rows()[0]["far"].startswith("0%"), "the first one is in view")
    publisher.raw(b'{"action":"ping"}')

    def listened():
        lines = []
        publisher._socket.sendall(b'{"action":"listen","prefix":"$streams/many-","receipt":"all"}\n')
        while True:
            event = json.loads(publisher._lines.readline())
            if event["action"] == "put" and event["message"]["listeners"] > 0:
                lines.append(event["stream"].removeprefix("$streams/"))
            if event.get("receipt") == "all":
                break
        publisher._socket.sendall(b'{"action":"hangup"}\n')
        return lines

    until(lambda: (names := listened()) and max(names) < "many-00040", "only those in view are listened to")
    browser.press("/", "many-04567")
    until(lambda: [row["name"] for row in browser.rows()] == ["many-04567"], "the search holds")
