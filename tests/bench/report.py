#!/usr/bin/env python3
"""The report of a bench run: what its parts print, a JSON object a line, becomes report.md and report.json.

    report.py FOLDER            begin: a report without parts
    report.py FOLDER PART SECONDS [failed] <LINES
                                add what PART printed within so many seconds, and print its text

The lines of a part:

    {"title": WHAT}             once: what is measured, and how
    {"fact": NAME, "value": TEXT}
                                something about the machine
    {"name": WHAT, "unit": UNIT, "samples": N, "rounds": N, "median": X, "low": X, "high": X}
                                a figure: the median of the rounds, the least and the most of them, and how much was
                                measured in all. Also "p99" and "p99.9", of the same unit; "peers": the names of the
                                part's rows to compare with; "limit": that of the machine's own. Other keys are kept.
    {"name": WHAT, "missing": REMEDY}
                                a figure that cannot be had here
    {"load": WHAT, "at": SECONDS, "report": {...}}
                                what `sluice load --json` printed, for the plots; at: of the epoch
"""
import datetime
import json
import os
import subprocess
import sys

NUMBERS = ("samples", "rounds", "median", "low", "high")


class Malformed(Exception):
    pass


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def check_row(row):
    if not isinstance(row["name"], str) or not row["name"]:
        raise Malformed("a row's name is a word or more")
    if "missing" in row:
        return
    for key in ("unit",) + NUMBERS:
        if key not in row:
            raise Malformed(f"{row['name']}: no {key}")
    for key in NUMBERS + tuple(key for key in ("p99", "p99.9") if key in row):
        if not is_number(row[key]):
            raise Malformed(f"{row['name']}: {key} is {row[key]!r}, not a number of 0 or more")
    if not row["low"] <= row["median"] <= row["high"]:
        raise Malformed(f"{row['name']}: the median {row['median']} is not between low {row['low']} and high {row['high']}")


def take_line(part, line):
    """One line into `part`."""
    try:
        item = json.loads(line)
    except ValueError:
        raise Malformed(f"not JSON: {line.strip()[:60]!r}") from None
    if not isinstance(item, dict):
        raise Malformed(f"not an object: {line.strip()[:60]!r}")
    if "title" in item:
        part["title"] = str(item["title"])
    elif "fact" in item and "value" in item:
        part["facts"].append(item)
    elif "load" in item and isinstance(item.get("report"), dict) and is_number(item.get("at")):
        part["loads"].append(item)
    elif "name" in item:
        check_row(item)
        if any(row["name"] == item["name"] for row in part["rows"]):
            raise Malformed(f"{item['name']}: a second row of that name")
        part["rows"].append(item)
    else:
        raise Malformed(f"neither title, fact, load nor row: {line.strip()[:60]!r}")


def link(part):
    """Ratios to peers and limits, once all rows are there."""
    rows = {row["name"]: row for row in part["rows"]}
    for row in part["rows"]:
        beside = [(name, "peer") for name in row.get("peers", [])]
        beside += [(row["limit"], "limit")] if "limit" in row else []
        row["beside"] = []
        for name, kind in beside:
            if name not in rows:
                raise Malformed(f"{row['name']}: its {kind} {name!r} is not a row of this part")
            other = rows[name].get("median")
            if other and "median" in row:
                row["beside"].append({"name": name, "kind": kind, "median": other, "ratio": row["median"] / other})


def take_part(name, seconds, failed, lines):
    part = {"part": name, "title": "", "command": f"make bench ONLY={name}", "seconds": seconds, "failed": failed,
            "facts": [], "rows": [], "loads": []}
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            take_line(part, line)
    except Malformed as what:
        raise Malformed(f"{name}: line {number}: {what}") from None
    try:
        link(part)
    except Malformed as what:
        raise Malformed(f"{name}: {what}") from None
    return part


def text_of(value):
    """Three digits that count."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2}f}"


def count_text(value):
    return f"{value / 1e6:,.1f} million" if value >= 1e6 else f"{value:,}"


def beside_text(row):
    words = []
    unit = row["unit"].split("/")[0]
    for other in row["beside"]:
        ratio = f"{other['ratio']:.2f}" if other["ratio"] < 10 else text_of(other["ratio"])
        if other["kind"] == "limit":
            words.append(f"{ratio} of the limit, {other['name']}")
            continue
        more = row["median"] - other["median"]
        difference = f" ({'+' if more >= 0 else '-'}{text_of(abs(more))} {unit})" if unit in ("ns", "us") else ""
        words.append(f"{ratio} of {other['name']}{difference}")
    return "; ".join(words)


def cells(row):
    if "missing" in row:
        return [row["name"], "not here: " + row["missing"], "", "", "", "", ""]
    spread = f"{text_of(row['low'])} to {text_of(row['high'])}" if row["rounds"] > 1 else ""
    tail = " / ".join(text_of(row[key]) if key in row else "" for key in ("p99", "p99.9")).strip(" /")
    return [row["name"], f"{text_of(row['median'])} {row['unit']}", spread, tail, str(row["rounds"]),
            count_text(row["samples"]), beside_text(row)]


def table(head, lines):
    """A Markdown table that is one to the eye as well; columns that are empty are left out."""
    columns = [i for i in range(len(head)) if any(line[i] for line in lines)]
    lines = [[line[i] for i in columns] for line in [head] + lines]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    shown = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    return "\n".join([shown[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|"] + shown[1:])


def part_text(part):
    text = f"## {part['part']}: {part['title']}\n\n`{part['command']}`, {part['seconds']:.0f} s"
    text += ". **It failed: what there is.**\n" if part["failed"] else "\n"
    if part["facts"]:
        text += "\n" + table(["", ""], [[fact["fact"], fact["value"]] for fact in part["facts"]]) + "\n"
    if part["rows"]:
        head = ["figure", "median", "rounds' least to most", "p99 / p99.9", "rounds", "samples", "beside"]
        text += "\n" + table(head, [cells(row) for row in part["rows"]]) + "\n"
    return text


def report_text(report):
    seconds = sum(part["seconds"] for part in report["parts"])
    text = f"# Figures of {report['version']}\n\n{report['began']}, {report['host']}.\n\n"
    text += "Medians of the rounds of each figure, and the least and the most of them; things that are compared ran in turn. A ratio "
    text += "is this figure's by the other's.\n\n"
    text += "\n".join(part_text(part) for part in report["parts"])
    times = ", ".join(f"{part['part']} {part['seconds']:.0f} s" for part in report["parts"])
    return text + f"\n## Time\n\n{seconds:.0f} s in all: {times}.\n"


def write(folder, report):
    for name, text in (("report.json", json.dumps(report, indent=1) + "\n"), ("report.md", report_text(report))):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)


def begin():
    version = subprocess.run(["git", "describe", "--always", "--dirty"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             text=True, check=False).stdout.strip()
    began = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    host = f"{models[0] if models else os.uname().machine}, {os.cpu_count()} cores, Linux {os.uname().release}"
    return {"version": "Sluice " + (version or "(no commit)"), "began": began, "host": host, "parts": []}


def main(arguments):
    if len(arguments) not in (1, 3, 4) or arguments[3:] not in ([], ["failed"]):
        sys.exit("usage: report.py FOLDER [PART SECONDS [failed] <LINES]")
    folder = arguments[0]
    if len(arguments) == 1:
        write(folder, begin())
        return
    try:
        part = take_part(arguments[1], float(arguments[2]), len(arguments) == 4, sys.stdin)
        with open(os.path.join(folder, "report.json"), encoding="utf-8") as file:
            report = json.load(file)
    except (Malformed, OSError, ValueError) as what:
        sys.exit(f"report.py: {what}")
    report["parts"].append(part)
    write(folder, report)
    print(part_text(part))


main(sys.argv[1:])
