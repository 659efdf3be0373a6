"""What tests/metrics/run needs of HTTP, JSON and YAML: fetches what a broker tells, configures a Prometheus, and asks it.

    ask.py fetch URL                          prints what a broker tells in the older text format
    ask.py config URL RULES                   prints the configuration of a Prometheus that scrapes the broker
    ask.py ask PROMETHEUS DASHBOARD RULES     asks all that the dashboard and the alerts ask

Each expression of the dashboard has to give data, and each of the alerts has to be one that Prometheus knows: they give data only when
something is wrong. Needs nothing but Python.
"""

import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

# How long a Prometheus may take to have scraped enough, in seconds.
PATIENCE = 60
# What rates are taken over, in place of what Grafana would choose.
INTERVAL = "20s"
SCRAPES = 6


def fetch(url, accept="text/plain"):
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=10) as answer:
        return answer.headers.get("Content-Type", ""), answer.read().decode()


def config(url, rules):
    parts = urllib.parse.urlsplit(url)
    return json.dumps(
        {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [rules],
            "scrape_configs": [
                {
                    "job_name": "msgstream",
                    "scheme": parts.scheme,
                    "metrics_path": parts.path or "/metrics",
                    "static_configs": [{"targets": [parts.netloc]}],
                }
            ],
        }
    )


def query(prometheus, expression):
    """The series that an expression gives; raises ValueError if Prometheus does not know what it means."""
    url = f"{prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    try:
        _, text = fetch(url)
    except urllib.error.HTTPError as error:
        raise ValueError(json.loads(error.read()).get("error", "no reason")) from error
    result = json.loads(text)["data"]
    return result["result"]


def wait(prometheus):
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            scraped = query(prometheus, f'sum_over_time(up{{job="msgstream"}}[{INTERVAL}])')
            if scraped and float(scraped[0]["value"][1]) >= SCRAPES:
                return
        except (OSError, ValueError):
            pass
        if time.monotonic() > deadline:
            sys.exit("Prometheus has not scraped the broker in time")
        time.sleep(0.2)


def expressions(value):
    """All expressions of a dashboard."""
    if isinstance(value, dict):
        for name, member in value.items():
            if name == "expr":
                yield member
            else:
                yield from expressions(member)
    elif isinstance(value, list):
        for member in value:
            yield from expressions(member)


def with_values(expression):
    """An expression of the dashboard as Grafana would send it."""
    for name, value in {"$__rate_interval": INTERVAL, "$job": "msgstream", "$instance": ".*"}.items():
        expression = expression.replace(name, value)
    return expression


def ask(prometheus, dashboard, rules):
    wait(prometheus)
    with open(dashboard, encoding="utf-8") as file:
        dashboard = json.load(file)
    asked, faults = 0, []
    for expression in expressions(dashboard["panels"]):
        asked += 1
        expression = with_values(expression)
        try:
            series = query(prometheus, expression)
        except ValueError as error:
            faults.append(f"{expression}\n    {error}")
            continue
        if not series:
            faults.append(f"{expression}\n    gives nothing")
        elif all(one["value"][1] == "NaN" for one in series):
            faults.append(f"{expression}\n    gives no number")
    for expression in expressions(dashboard["annotations"]):
        try:
            asked += 1
            query(prometheus, with_values(expression))
        except ValueError as error:
            faults.append(f"{expression}\n    {error}")
    _, text = fetch(f"{prometheus}/api/v1/rules")
    alerts = [rule for group in json.loads(text)["data"]["groups"] for rule in group["rules"]]
    with open(rules, encoding="utf-8") as file:
        written = len(re.findall(r"^ *- alert: ", file.read(), flags=re.MULTILINE))
    if len(alerts) != written:
        faults.append(f"Prometheus knows {len(alerts)} of {written} alerts")
    for alert in alerts:
        if alert["health"] == "err":
            faults.append(f"{alert['name']}\n    {alert['lastError']}")
        try:
            asked += 1
            if query(prometheus, alert["query"]) and alert["name"] not in ("MsgstreamMemoryNearLimit", "MsgstreamDescriptorsNearLimit"):
                faults.append(f"{alert['name']} holds for a broker that is well\n    {alert['query']}")
        except ValueError as error:
            faults.append(f"{alert['name']}\n    {error}")
    print(f"{asked} expressions were asked")
    if faults:
        sys.exit("\n".join(faults))


def main(arguments):
    match arguments:
        case ["fetch", url]:
            kind, text = fetch(url, "application/openmetrics-text; version=1.0.0")
            if not kind.startswith("application/openmetrics-text; version=1.0.0") or not text.endswith("# EOF\n"):
                sys.exit(f"no OpenMetrics: {kind}")
            kind, text = fetch(url)
            if not kind.startswith("text/plain; version=0.0.4"):
                sys.exit(f"not the older text format: {kind}")
            print(text, end="")
        case ["config", url, rules]:
            print(config(url, rules))
        case ["ask", prometheus, dashboard, rules]:
            ask(prometheus, dashboard, rules)
        case _:
            sys.exit(__doc__)


main(sys.argv[1:])
