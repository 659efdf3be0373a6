"""The parts of the page that know no document: reading, counting, arranging."""

import json

import pytest


@pytest.fixture
def page(browser, served):
    browser.open(served.url)
    return browser


def read(page, *messages):
    """What numbers.js finds in messages, by message.js."""
    script = """const { read } = await import(new URL('page/message.js', document.baseURI));
        return %s.map((value) => { const message = read(value, JSON.stringify(value)); const found = m.numbersOf(message);
            return { kind: message.kind, line: message.line, level: message.level, step: found.step, count: message.step ? [message.step.k, message.step.total] : null,
                values: Object.fromEntries(found.values.map(([name, value]) => [name, Number.isNaN(value) ? "NaN" : value])), curves: found.curves, isCut: found.isCut }; });"""
    return page.module("numbers.js", f"return (async () => {{ {script % json.dumps(messages)} }})();")


def test_words_are_those_of_the_terminal(page):
    said = page.module("words.js", """return [
        m.amount(3, 10, "steps"), m.amount(0.1 + 0.2, 0.9), m.amount(1234567, 99999999, "bytes"), m.amount(12345), m.amount(2.5, 1e3), m.amount(999999, 1e6),
        m.amount(1.5e-9, 2e-8), m.amount(42, 100, "%"), m.amount(5, 200, "%"), m.rate(2.5, "steps"), m.rate(0.25, "steps"), m.rate(0.1, null),
        m.words(0), m.words(59), m.words(60), m.words(125), m.words(12000), m.words(183600), m.age(59), m.age(125), m.age(12000), m.running(12), m.running(3723),
        m.timeOf("2026-11-28T12:55:19+00:00"), m.timeOf("2026-11-28 12:55:19.5"), m.timeOf("2026-11-28T13:55:19+01:00"), m.timeOf("2026-11-28T13:55:19+0100"), m.timeOf("2026-11-28T13:55:19+01"), m.momentOf("2026-11-28 12:55:19.5"), m.timeOf("yesterday"), m.inline("a\\n\\u202eb"), m.inline("a\\u200bb\\ufeff\\u00adc\\u200d")];""")
    assert said == [
        "3/10 steps", "0.3/0.9", "1.23M/100M bytes", "12345", "2/1000", "1M/1M", "1.5e-9/2e-8", "42%", "5/200 %", "2.5 steps/s", "4 s/step", "10 s/it",
        "under 1 s", "59 s", "1 min", "2 min 5 s", "3 h 20 min", "2 d 3 h", "59 s", "2 min", "3 h", "00:12", "1:02:03",
        1795870519, 1795870519, 1795870519, 1795870519, 1795870519, 1795870519.5, None, "a \ufffdb", "a\ufffdb\ufffd\ufffdc\u200d",
    ]


def test_messages_of_the_package_are_read(page):
    def typed(name, **state):
        return {".class": f"monitor.{name}", ".version": "1.0", ".state": state}

    found = read(
        page, typed("Progress", k=3, total=10, units="steps", scalars={"loss": 0.5, "acc": {"top1": 0.9}}), typed("Progress", k=4, text="loss 0.25, lr 1e-3"),
        typed("Improvement", value=2.5, slope=1.5), typed("Improvement", value={"x": [0, 1, 2], "y": [5, 6, 7]}), typed("Log", text="hot loss=3", level="WARNING"),
        typed("Error", reason="no data"), typed("Lost"), typed("Complete", result={"exit": 0}), typed("Start", title="a", total=5), typed("Nonesuch", a=1),
    )
    assert [each["kind"] for each in found] == ["progress", "progress", "improvement", "improvement", "log", "end", "end", "end", "start", "other"]
    assert (found[0]["step"], found[0]["values"]) == (3, {"loss": 0.5, "acc.top1": 0.9})
    assert (found[1]["step"], found[1]["values"]) == (4, {"loss": 0.25, "lr": 1e-3})
    assert found[2]["values"] == {"improvement": 2.5, "slope": 1.5}
    assert found[3]["curves"] == [{"name": "improvement.y", "x": [0, 1, 2], "y": [5, 6, 7]}]
    assert (found[4]["level"], found[4]["line"], found[4]["values"]) == ("warning", "hot loss=3", {"loss": 3})
    assert [found[at]["line"] for at in (5, 6, 7)] == ["failed: no data", "lost", "done"]
    assert found[9]["values"] == {"a": 1}


def test_plain_shapes_are_read(page):
    found = read(
        page, {"k": 3, "total": 10}, {"step": 5, "loss": 0.25, "lr": 1e-3}, {"n": 7, "total": 20, "elapsed": 1.5, "unit": "it", "postfix": "loss=0.5"},
        " 42%|████▏     | 42/100 [00:12<00:17,  3.50it/s, loss=0.125]", "epoch 3 loss=0.5 acc: 90", "12.5", 7, [1, 2, 4], [[0, 1], [1, 3]], "12:30:01 started", None, True,
        {"a": {".class": "float", ".version": "1.0", ".state": "NaN"}}, {"level": "error", "msg": "no disk"}, {"data": [3, 1, None, 2]},
    )
    assert (found[0]["kind"], found[0]["count"], found[0]["values"]) == ("progress", [3, 10], {})
    assert (found[1]["step"], found[1]["values"]) == (5, {"loss": 0.25, "lr": 1e-3})
    assert (found[2]["count"], found[2]["values"]["loss"]) == ([7, 20], 0.5)
    assert (found[3]["count"], found[3]["values"]) == ([42, 100], {"loss": 0.125})
    assert found[4]["values"] == {"loss": 0.5, "acc": 90}
    assert (found[5]["values"], found[6]["values"]) == ({"value": 12.5}, {"value": 7})
    assert found[7]["curves"][0]["y"] == [1, 2, 4] and found[8]["curves"][0] == {"name": "value", "x": [0, 1], "y": [1, 3]}
    assert [found[at]["values"] for at in (9, 10, 11)] == [{}, {}, {}]
    assert found[12]["values"] == {"a": "NaN"}
    assert (found[13]["kind"], found[13]["level"]) == ("log", "error")
    assert found[14]["curves"][0]["y"] == [3, 1, None, 2]


def test_only_so_much_of_a_message_is_looked_at(page):
    counts = page.module("numbers.js", """
        const wide = Object.fromEntries(Array.from({ length: 100000 }, (_, index) => [`key${index}`, index]));
        const deep = JSON.parse('{"a":'.repeat(20000) + "1" + "}".repeat(20000));
        const long = { y: Array.from({ length: 300000 }, (_, index) => index) };
        return [wide, deep, long].map((body) => { const found = m.numbersOf({ kind: "other", body, line: "" }); return [found.values.length, found.curves[0]?.y.length ?? 0, found.isCut]; });""")
    assert counts == [[2000, 0, True], [0, 0, True], [4000, 0, True]] or counts == [[2000, 0, True], [0, 0, True], [0, 4000, True]]


def test_a_long_series_keeps_its_peaks_within_its_limit(page):
    kept = page.module("series.js", """
        const run = new m.Run(1000);
        for (let step = 0; step < 100000; step += 1) run.add(step, { step, values: [["a", step === 12345 ? 99 : step === 70001 ? -99 : Math.sin(step / 500)]], curves: [], isCut: false });
        const a = run.series.get("a");
        const rises = a.step.every((step, index) => index === 0 || step > a.step[index - 1]);
        let widest = 0;
        for (let index = 1; index < a.step.length; index += 1) widest = Math.max(widest, a.step[index] - a.step[index - 1]);
        return [a.value.length <= 1000, a.value.includes(99), a.value.includes(-99), a.step.at(-1), rises, a.thinned, widest < 8 * a.thinned];""")
    assert kept == [True, True, True, 99999, True, 128, True] or kept[:5] + kept[6:] == [True] * 3 + [99999, True, True]


def test_series_stand_over_one_axis_without_losing_points(page):
    out = page.module("series.js", """return m.aligned([{ x: [1, 2, 2, 4], y: [10, 20, 21, null] }, { x: [2, 3], y: [5, 6] }]).map((column) => column.map((value) => value === undefined ? "-" : value));""")
    assert out == [[1, 2, 2, 3, 4], [10, 20, 21, "-", None], ["-", 5, "-", 6, "-"]]
    log = page.module("series.js", """return m.points({ step: [null, null], message: [0, 1], value: [1, NaN] }, "step", true, false);""")
    assert (log["x"], log["y"], log["low"]) == ([1], [None], 1)


def test_a_job_is_told_as_in_the_terminal(page):
    told = page.module("job.js", """return (async () => {
        const { read } = await import(new URL('page/message.js', document.baseURI));
        const typed = (name, state) => read({ ".class": `monitor.${name}`, ".state": state });
        const out = [];
        const job = new m.Job();
        job.join(typed("Join", { title: "fit", k: 3, total: 10, units: "steps", started: "2026-11-28T12:00:00Z" }), { state: "running", age: 12, position: { epoch: "a", sequence: 0 } }, 1795867212);
        out.push([job.word, job.count, job.rate(1795867212), job.left(1795867212), job.elapsed(1795867212)]);
        job.take(typed("Progress", { k: 6 }), 1795867212, false);
        out.push([job.count, job.share, job.left(1795867212)]);
        job.take(typed("Error", { reason: "no", ended: "2026-11-28T12:02:05Z" }), 1795867300, false);
        job.take(typed("Progress", { k: 9 }), 1795867301, false);
        out.push([job.word, job.told, job.count, job.endedAgo(1795867505)]);
        job.join(typed("Join", { k: 1, total: 10 }), { state: "running", age: 0, position: { epoch: "b", sequence: 0 } }, 1795867400);
        out.push([job.word, job.told, job.count, job.elapsed(1795867400)]);
        job.close(null, 1795867401);
        out.push([job.word, job.told]);
        return out; })();""")
    assert told == [
        ["running", "3/10 steps", "4 s/step", 28, 12], ["6/10 steps", 0.6, 8], ["failed", "failed after 2 min 5 s: no", "6/10 steps", "3 min ago"],
        ["running", "", "1/10", None], ["ended", "ended"],
    ]


def test_lists_are_arranged(page):
    found = page.module("order.js", """
        const entry = (name, word, latest, title = null) => ({ name, word, latest, title, messages: 0, listeners: 0, share: null });
        const all = [entry("fit-10", "running", 5), entry("fit-2", "running", 9), entry("old", "done", 3), entry("bad", "failed", 7, "Nightly"), entry("later", "waiting", 0)];
        const view = { prefix: "", search: "", state: "all", sort: "standing", isReversed: false };
        m.ranked(all);
        const names = (changes) => m.arranged(all, { ...view, ...changes }).map((each) => each.name);
        return [names({}), names({ state: "trouble" }), names({ search: "night" }), names({ prefix: "fit-", sort: "latest" }), names({ sort: "name", isReversed: true }), m.tally(all, view)];""")
    assert found[:5] == [["fit-2", "fit-10", "later", "bad", "old"], ["bad"], ["bad"], ["fit-2", "fit-10"], ["old", "later", "fit-10", "fit-2", "bad"]]
    assert {word: found[5][word] for word in ("all", "running", "trouble", "done", "waiting")} == {"all": 5, "running": 2, "trouble": 1, "done": 1, "waiting": 1}


def test_only_rows_in_view_are_drawn(page):
    out = page.module("rows.js", """return [m.inView(0, 560, 56, 10000), m.inView(56 * 9990, 560, 56, 10000), m.inView(0, 560, 56, 3), m.inView(0, 560, 56, 0), m.scrolledTo(20, 0, 560, 56), m.scrolledTo(3, 0, 560, 56)];""")
    assert out == [{"first": 0, "end": 16}, {"first": 9984, "end": 10000}, {"first": 0, "end": 3}, {"first": 0, "end": 0}, 616, None]


def test_a_view_is_its_address(page):
    out = page.module("address.js", """
        const view = { ...m.LIST, ...m.PLOT, streams: ["a b/c", "x&stream=y", "日本"], isLogY: true, only: ["loss"], search: "50%" };
        const written = m.write(view);
        return [written, JSON.stringify(m.read(written)) === JSON.stringify({ ...m.read(""), ...view }), m.write(m.read("")), m.read("#stream=&stream=a&stream=a&x=nonsense").streams, m.read("#" + "stream=b&".repeat(3) + Array.from({ length: 20 }, (_, i) => `stream=${i}`).join("&")).streams.length];""")
    assert out[0].startswith("#stream=a+b/c&stream=x%26stream%3Dy&stream=%E6%97%A5%E6%9C%AC&search=50%25")
    assert out[1:] == [True, "#", ["a"], 8]


def test_lines_of_the_contract_are_taken_apart(page):
    out = page.module("wire.js", r"""return [
        m.parsed('{"action":"put","stream":"a\\"b","message":{"x":1.10,"y":"}"}}'), m.parsed('{"action":"put","stream":"\\\\","message":1e400}'),
        m.parsed('{"action":"close","stream":"a"}'), m.parsed("nonsense"), m.parsed("7")];""")
    assert out[0] == {"action": "put", "stream": 'a"b', "raw": '{"x":1.10,"y":"}"}', "message": {"x": 1.1, "y": "}"}}
    assert (out[1]["stream"], out[1]["raw"]) == ("\\", "1e400")
    assert out[2:] == [{"action": "close", "stream": "a"}, None, None]


# Seen to fail: a message that was on its way when the page hung up was shown as the header of a stream that has none.
def test_of_a_stream_that_has_ended_the_broker_says_whether_it_has_a_header(page):
    out = page.module("heard.js", """
        const told = (receipt) => {
            const said = [];
            const heard = new m.Heard("s", {
                joined: (_, event, header) => said.push(header ? `header ${header.line}` : "no header"),
                message: (_, event) => said.push(`message ${event.raw}`), ended: () => said.push("end"), refused: () => {},
            });
            heard.listen(1);
            heard.put({ stream: "s", message: 7, raw: "7" });
            heard.receipt(receipt);
            heard.close({});
            return said;
        };
        return [told({ state: "ended", header: false }), told({ state: "ended", header: true }), told({ state: "ended" }), told({ state: "running" }), told({ state: "waiting" })];""")
    without, with_one = ["message 7", "no header", "end"], ["header 7", "end"]
    assert out == [without, with_one, with_one, with_one, without]


def test_the_tail_keeps_its_limits(page):
    out = page.module("lines.js", """
        const lines = new m.Lines();
        for (let index = 0; index < 12000; index += 1) lines.add({ stream: "a", kind: "log", level: index % 100 ? "" : "error", text: `line ${index}`, raw: "x", at: null });
        const big = new m.Lines();
        for (let index = 0; index < 400; index += 1) big.add({ stream: "a", kind: "other", level: "", text: "t", raw: "y".repeat(100000), at: null });
        return [lines.found().length, lines.found()[0].text, lines.dropped, lines.found({ level: "errors" }).length, lines.found({ find: "LINE 1199" }).length, lines.found({ until: 7002 }).length, big.found().length < 130, big.found()[0].raw.length];""")
    assert out == [5000, "line 7000", 7000, 50, 11, 2, True, 65536]
