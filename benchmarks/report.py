"""What is printed: plain tables, ratios with their intervals."""

from __future__ import annotations


def _spread(s: dict, form: str = ".2f") -> str:
    return f"{s['median']:{form}} [{s['low']:{form}}, {s['high']:{form}}]"


def machine(found: dict) -> str:
    """Return the lines on the machine and on the import."""
    m, taken = found["machine"], found["import"]
    return (
        f"{m['processor']}, {m['cores']} cores, {m['threads']} threads, {m['vector_unit']}, {m['memory_gb']} GB; "
        f"torch {m['torch']}, scikit-learn {m['scikit_learn']}, GPU: {m['gpu'] or 'none'}\n"
        f"import icl_lib: {taken['seconds']:.2f} s beyond torch (target {taken['target']} s)"
    )


def part(name: str, found: dict | None) -> str:
    """Return one part as text."""
    return "  not here" if found is None else "\n".join(f"  {line}" for line in WRITERS[name](found))


def _rows(found: dict) -> list[str]:
    lines = [f"{'':42}{'prompts/s':>10}   time over ours"]
    for row in found["rows"]:
        line = f"{row['name']:42}{row['per_second']['median']:>10,.0f}   {_spread(row['times_ours'])}"
        if "median_share" in row:
            line += f"   margin {row['median_share']:.4f}, worst {row['worst_share']:.3f}"
        lines.append(line)
    return lines + _targets(found)


def _targets(found: dict) -> list[str]:
    lines = []
    for t in found["targets"]:
        verdict = "reached" if t["low"] >= t["target"] else "missed" if t["high"] < t["target"] else "undecided"
        lines.append(f"target {t['name']} >= {t['target']:g}: {_spread(t)}, {verdict}")
    return lines


def _equal_quality(found: dict) -> list[str]:
    plan = found["momentum"]["chosen"]
    lines = [f"momentum: step {plan['step']}, depth {plan['depth']}; depth by step: {plan['tried']}"]
    lines += [f"pushed further: {found['momentum']['variants']}"]
    lines += [f"{name}: {v['settings']} reached {v['reached']:.4f}" for name, v in found["scikit_learn"].items()]
    return lines + _rows(found)


def _crossing(found: dict) -> list[str]:
    lines = []
    for x in found["cells"]:
        head = f"n {x['n']:4d} d {x['d']:3d} gamma {x['gamma']:.2g} depth {x['depth'] or 'out of reach'}"
        if x["rows"]:
            head += "".join(f"; {r['name']} {_spread(r['times_ours'])}" for r in x["rows"][1:])
        lines.append(head)
    for row in found["by_batch"]["rows"]:
        lines.append(f"B {row['B']:6d}: quadprog over ours {_spread(row['quadprog_times_ours'])}")
    return lines


def _scaling(found: dict) -> list[str]:
    return [f"{axis}: exponent {_spread(v['exponent'])}" for axis, v in found["axes"].items()]


def _limits(found: dict) -> list[str]:
    return [
        f"{r['name']:30}{_spread(r['gflops'], '.1f'):>26} GFLOP/s {_spread(r['gbytes'], '.1f'):>24} GB/s "
        f"at {r['intensity']:.2f} FLOP/byte"
        for r in found["rows"]
    ]


def _precision(found: dict) -> list[str]:
    return [
        f"{r['format']:9} all: {r['all']['least']:.1e} missing at best (layer {r['all']['layer']}); tokens only: "
        f"{r['tokens']['least']:.1e}; time over float32 {_spread(r['time_over_float32'])}"
        for r in found["rows"]
    ]


def _memory(found: dict) -> list[str]:
    return [
        f"{r['name']:28}{r['prompts']:>10,} prompts: {r['peak_mb']:,.0f} MB above the import" for r in found["rows"]
    ]


WRITERS = {
    "equal_loops": _rows,
    "equal_quality": _equal_quality,
    "crossing": _crossing,
    "scaling": _scaling,
    "limits": _limits,
    "precision": _precision,
    "memory": _memory,
    "cuda": _rows,
}
