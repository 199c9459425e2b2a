"""The report's model card (Mitchell et al., "Model cards for model reporting", 2019): what the detector is for, and what not."""

from __future__ import annotations

from edge_runtime.manifest import Manifest
from training.config import Config
from training.report_evaluation import Judged
from training.report_page import Section, Table
from training.run_directory import Record
from training.wording import days_text


def card_section(config: Config, manifest: Manifest, record: Record, judged: Judged | None) -> Section:
    """What it was trained on, for what, its limits, and what was not tested."""
    calibration = list(record.parts.values())[-1]
    days = (calibration.last - calibration.first).total_seconds() / 86_400
    settings = (
        ("purpose", config.card.purpose or "not stated ([card] purpose)"),
        ("learned from", f"readings taken to be normal, {record.parts['fit'].first:%F %T} to {calibration.last:%F %T}"),
        ("data licence", config.card.data_licence or "not stated ([card] data_licence)"),
        ("contact", config.card.contact or "not stated ([card] contact)"),
        ("model", f"{manifest.family}, {manifest.parameters} parameters, windows of {manifest.window.length} readings"),
        ("sampling", f"every {manifest.sampling.period_s:g} s; after {manifest.sampling.longest_gap_s:g} s of silence the window starts again"),
        ("alarm", f"{manifest.alarm.k} of the last {manifest.alarm.n} scores above {manifest.alarm.enter:g} x the threshold raise it; "
                  f"{manifest.alarm.n} in a row below {manifest.alarm.exit:g} x clear it"),
        ("configuration", record.config_path),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
    )  # fmt: skip
    limits = (
        "It says that readings are unlike those it was trained on, not what is wrong or how bad it is.",
        "It knows the machine only as it was in that time: another load, product, season or a repaired part may look anomalous, "
        "and whatever was wrong with it then looks normal.",
        f"The threshold rests on {calibration.windows} windows of {days_text(days)}. How rare false alarms are beyond about that "
        "time is not known.",
        "A slow change that stays within the normal spread, and a fault outside of the measured channels, are not seen.",
    )
    untested = [
        *(
            ["Real faults: no labelled readings and no run to failure were given ([evaluation])."]
            if judged is None
            else []
        ),
        "Another machine of the same kind, and another season.",
        "The device itself: anomalite verify proves the sealed file there.",
    ]
    return Section(
        "card",
        "Model card",
        (),
        (),
        (
            Table((), settings),
            Table(("limits",), tuple((limit,) for limit in limits)),
            Table(("not tested",), tuple((each,) for each in untested)),
        ),
    )
