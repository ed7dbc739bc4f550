#!/usr/bin/env python3
"""Scores the detector on labelled rows: precision, recall, F1 and false positive rate, by kind of row and by rule.

    bench/detector.py [--refgate PROGRAM] [--misses] FILE...

Each FILE has one JSON object on each line, a row: `label` (secret, weak-default, placeholder, benign), and where the
value stands:

    {"name": N, "value": V}                     the value of an env var
    {"field": "args" | "command", "value": V}   an item of args or command; with "before", the one before it
    {"field": "configmap", "key": K, "value": V}  an entry of a ConfigMap
    {"shape": "bare" | "pem" | "pair", "name": N or null, "value": V}  a token; without a name under one that says nothing

A manifest is made of each row, `refgate check --level restricted --output json` judges them, and a row counts as flagged
when its manifest has an entry in `findings`. Positives are `secret` and `weak-default`, the false positive rate is over
`benign`, and placeholders are counted apart: they are in neither.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile

POSITIVE = ("secret", "weak-default")
NEUTRAL_NAME = "SETTING"


def kind(row):
    """The kind of a row, as the table calls it."""
    if "field" in row:
        return "ConfigMap entries" if row["field"] == "configmap" else "args and commands"
    return "tokens" if "shape" in row else "env pairs"


def manifest(name, row):
    """The object in which a row stands."""
    value = row["value"]
    if row.get("field") == "configmap":
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {row["key"]: value}}
    container = {"name": "c", "image": "registry.example.com/c"}
    if "field" in row:
        before = [row["before"]] if row.get("before") is not None else []
        container[row["field"]] = before + [value]
    else:
        container["env"] = [{"name": row.get("name") or NEUTRAL_NAME, "value": value}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}}


def judge(program, rows):
    """For each row the rules that struck."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "rows.json"
        with path.open("w") as file:
            for number, row in enumerate(rows):
                file.write("---\n" + json.dumps(manifest(f"row-{number}", row)) + "\n")
        command = [program, "check", "--level", "restricted", "--output", "json", str(path)]
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if run.returncode not in (0, 1):
        sys.exit(f"{program} check ended with {run.returncode}: {run.stderr.decode()}")
    report = json.loads(run.stdout)
    for error in report["errors"]:
        sys.exit(f"a row could not be judged: {error['message']}")
    struck = {result["name"]: [finding["rule"] for finding in result["findings"]] for result in report["results"]}
    if len(struck) != len(rows):
        sys.exit(f"{len(rows)} rows, but {len(struck)} were judged")
    return [struck[f"row-{number}"] for number in range(len(rows))]


def share(part, whole):
    """A part of a whole as a fraction; one where there is no whole, for nothing was got wrong."""
    return part / whole if whole else 1.0


def line(title, judged):
    """One row of the table."""
    flagged = collections.Counter(row["label"] for row, rules in judged if rules)
    total = collections.Counter(row["label"] for row, _ in judged)
    true = sum(flagged[label] for label in POSITIVE)
    positive = sum(total[label] for label in POSITIVE)
    precision, recall = share(true, true + flagged["benign"]), share(true, positive)
    f1 = share(2 * precision * recall, precision + recall)
    rate = share(flagged["benign"], total["benign"]) if total["benign"] else 0.0
    return (
        f"| {title} | {positive} + {total['benign']} | {precision:.3f} | {recall:.3f} | {f1:.3f} | {100 * rate:.2f} % "
        f"| {flagged['placeholder']} of {total['placeholder']} |"
    )


def tables(rows, judged):
    """What is printed."""
    yield "| rows | positive + benign | precision | recall | F1 | false positive rate | placeholders flagged |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for title in ("env pairs", "tokens", "ConfigMap entries", "args and commands"):
        of_kind = [(row, rules) for row, rules in judged if kind(row) == title]
        if of_kind:
            yield line(title, of_kind)
    yield line("all", judged)
    yield ""
    yield "| rule | right | benign rows struck | precision |"
    yield "| --- | --- | --- | --- |"
    by_rule = collections.defaultdict(collections.Counter)
    for row, rules in judged:
        for rule in set(rules):
            by_rule[rule][row["label"]] += 1
    for rule, labels in sorted(by_rule.items()):
        right = sum(labels[label] for label in POSITIVE)
        yield f"| `{rule}` | {right} | {labels['benign']} | {share(right, right + labels['benign']):.3f} |"


def main():
    """Reads the rows, has them judged, prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--refgate", default=os.environ.get("REFGATE", "target/release/refgate"), metavar="PROGRAM")
    parser.add_argument("--misses", action="store_true", help="list the rows that were judged wrongly")
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE")
    options = parser.parse_args()
    rows = [json.loads(text) for file in options.files for text in file.read_text().splitlines() if text.strip()]
    judged = list(zip(rows, judge(options.refgate, rows)))
    if options.misses:
        for row, rules in judged:
            if bool(rules) != (row["label"] in POSITIVE):
                print(row["label"], ",".join(rules) or "-", row.get("field") or row.get("shape") or "env",
                      row.get("name") or row.get("key") or "", json.dumps(row["value"]), sep="\t")
        print()
    print("\n".join(tables(rows, judged)))


if __name__ == "__main__":
    main()
