"""The report's section on fine-tuning for int8."""

from __future__ import annotations

from training.quantize import QuantizationGain
from training.report_page import Section, Table


def quantization_section(gain: QuantizationGain) -> Section:
    """What fine-tuning for int8 brought over calibration alone."""
    rows = tuple(
        (what, f"{each.output_largest:.3g}", f"{each.output_mean:.3g}", f"{each.score:.2%}")
        for what, each in (("ranges calibrated only", gain.plain), ("fine-tuned", gain.fine_tuned))
    )
    return Section(
        "quantization",
        "Fine-tuning for int8",
        (
            "How far the model in int8 is from the trained one on held-out windows, of which two in three are disturbed or scaled; "
            f"fine-tuning took {gain.seconds:.0f} s.",
        ),
        (),
        (Table(("int8", "largest difference, output", "mean difference, output", "mean difference, score"), rows, ""),),
    )
