"""Checks packaging/prometheus and packaging/grafana against what the program itself measures.

Standard input has the answer to /metrics; the first argument is the folder packaging/.
"""

import json
import pathlib
import re
import sys

import promql_parser as promql
import yaml
from grafana_foundation_sdk.cog import encoder, plugins
from grafana_foundation_sdk.models import dashboard as grafana
from prometheus_client.openmetrics.parser import text_string_to_metric_families

# What Prometheus adds itself: one series for each target, with no more labels than all have.
TARGET_LABELS = {"instance", "job"}
UP = {"up": {}}

problems = []


def measured(text):
    """Name of each series -> label -> its values."""
    series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = series.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return series | UP


def selectors(expression):
    """All that an expression, or a part of it, selects."""
    match expression:
        case promql.VectorSelector():
            yield expression
        case promql.MatrixSelector():
            yield from selectors(expression.vector_selector)
        case promql.SubqueryExpr() | promql.ParenExpr() | promql.UnaryExpr():
            yield from selectors(expression.expr)
        case promql.AggregateExpr():
            yield from selectors(expression.expr)
            if expression.param is not None:
                yield from selectors(expression.param)
        case promql.Call():
            for argument in expression.args:
                yield from selectors(argument)
        case promql.BinaryExpr():
            yield from selectors(expression.lhs)
            yield from selectors(expression.rhs)
        case promql.NumberLiteral() | promql.StringLiteral():
            return
        case _:
            raise SystemExit(f"what is {type(expression)}?")


def aggregations(expression):
    match expression:
        case promql.AggregateExpr():
            yield expression
            yield from aggregations(expression.expr)
        case promql.SubqueryExpr() | promql.ParenExpr() | promql.UnaryExpr():
            yield from aggregations(expression.expr)
        case promql.Call():
            for argument in expression.args:
                yield from aggregations(argument)
        case promql.BinaryExpr():
            yield from aggregations(expression.lhs)
            yield from aggregations(expression.rhs)


def check_selector(where, selector, series):
    if selector.name not in series:
        problems.append(f"{where}: the program has no series {selector.name!r}")
        return
    known = series[selector.name]
    for matcher in selector.matchers.matchers:
        if matcher.name in TARGET_LABELS:
            continue
        if matcher.name not in known:
            problems.append(f"{where}: {selector.name} has no label {matcher.name!r}")
            continue
        # `a|b` names values; `5..` stands for what need not have happened yet.
        for value in matcher.value.split("|"):
            if re.fullmatch(r"\w+", value) and value not in known[matcher.name]:
                problems.append(f"{where}: {selector.name} has no {matcher.name}={value!r}")


def check_expression(where, text, series):
    """Returns which labels the result may have."""
    text = text.replace("$__rate_interval", "5m")
    try:
        expression = promql.parse(text)
    except ValueError as error:
        problems.append(f"{where}: {error}")
        return set()
    found = list(selectors(expression))
    if not found:
        problems.append(f"{where}: it asks for nothing")
    for selector in found:
        check_selector(where, selector, series)
    labels = set().union(*(series.get(it.name, {}) for it in found)) | TARGET_LABELS
    for aggregation in aggregations(expression):
        by = aggregation.modifier.labels if aggregation.modifier else []
        for label in by:
            if label not in labels:
                problems.append(f"{where}: there is no label {label!r} to group by")
    outer = next(aggregations(expression), None)
    if outer is not None:
        return set(outer.modifier.labels) if outer.modifier else set()
    return labels


def check_alerts(folder, series):
    rules = yaml.safe_load((folder / "alerts.yml").read_text())
    tests = yaml.safe_load((folder / "alerts_test.yml").read_text())
    silent, told = set(), set()
    for test in tests["tests"]:
        for case in test["alert_rule_test"]:
            (told if case["exp_alerts"] else silent).add(case["alertname"])
    count = 0
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        count += 1
        name = rule["alert"]
        labels = check_expression(name, rule["expr"], series)
        for text in rule["annotations"].values():
            for label in re.findall(r"\$labels\.(\w+)", text):
                if label not in labels:
                    problems.append(f"{name}: the alert has no label {label!r} to tell")
        if not (name in silent and name in told):
            problems.append(f"{name}: alerts_test.yml does not say when it is silent, and when not")
    return count


def same(ours, theirs, path, add):
    """Tells what Grafana's own model does not take over as it stands here."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key in theirs:
                same(value, theirs[key], f"{path}.{key}", add)
            else:
                add(f"{path}.{key}: Grafana does not know this")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for place, (mine, its) in enumerate(zip(ours, theirs)):
            same(mine, its, f"{path}[{place}]", add)
    elif ours != theirs:
        add(f"{path}: {ours!r} is {theirs!r} for Grafana")


def check_layout(panels):
    seen, filled = set(), set()
    for panel in panels:
        if panel["id"] in seen:
            problems.append(f"{panel['title']}: another panel has its number")
        seen.add(panel["id"])
        at = panel["gridPos"]
        if at["x"] + at["w"] > 24:
            problems.append(f"{panel['title']}: it is out of the page")
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                if (x, y) in filled:
                    problems.append(f"{panel['title']}: it lies on another panel")
                filled.add((x, y))


def check_dashboard(file, series):
    ours = json.loads(file.read_text())
    plugins.register_default_plugins()
    model = grafana.Dashboard.from_json(ours)
    model_version = grafana.Dashboard().schema_version
    theirs = json.loads(encoder.JSONEncoder().encode(model))
    same(ours, theirs, "dashboard", problems.append)
    # Older ones are brought up to date by every Grafana, and this one is what the model describes or newer.
    if not isinstance(ours["schemaVersion"], int) or ours["schemaVersion"] < model_version:
        problems.append(f"dashboard: schemaVersion is less than {model_version}")
    for panel in model.panels:
        # Of a kind of panel that it does not know, the model leaves the options as they are.
        if isinstance(getattr(panel, "options", None), dict):
            problems.append(f"{panel.title}: Grafana has no panel {panel.type_val!r}")
    check_layout(ours["panels"])
    variables = {it["name"] for it in ours["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(ours)))
    for variable in used - variables:
        problems.append(f"dashboard: there is no variable {variable!r}")
    for variable in ours["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((\w+), instance\)", variable["query"]["query"])
            if not asked or asked[1] not in series:
                problems.append(f"dashboard: {variable['name']} asks for what is not there")
    count = 0
    for panel in ours["panels"]:
        for target in panel.get("targets", []):
            count += 1
            where = f"dashboard: {panel['title']} {target['refId']}"
            labels = check_expression(where, target["expr"], series)
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                if label not in labels:
                    problems.append(f"{where}: the legend names {label!r}, which is not there")
    for annotation in ours["annotations"]["list"]:
        count += 1
        check_expression(f"dashboard: {annotation['name']}", annotation["expr"], series)
    return count


packaging = pathlib.Path(sys.argv[1])
series = measured(sys.stdin.read())
alerts = check_alerts(packaging / "prometheus", series)
expressions = check_dashboard(packaging / "grafana" / "taiwa.json", series)
for problem in problems:
    print(problem)
print(f"{alerts} alerts and {expressions} expressions of the dashboard: {len(problems)} problems")
