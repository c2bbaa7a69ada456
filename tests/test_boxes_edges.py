"""Edges of the losses of boxes: nearly equal, touching, apart, flat and huge boxes, and what is refused."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accuracy import Draw, check

from losscli.cli import run
from losscli.errors import DataError
from losscli.evaluate import evaluate
from losscli.inputs import Array
from losscli.loss import get
from losscli.plan import How
from losscli.results import Wants

NAMES = ("iou", "giou", "diou", "ciou")
UNIT = [0.0, 0.0, 1.0, 1.0]


def values(name: str, p: Any, t: Any) -> Array:
    data = {"prediction": np.atleast_2d(p), "target": np.atleast_2d(t)}
    return np.asarray(evaluate(get(name).bind(), data, reduction="none").value)


def slopes(name: str, p: Any, t: Any, wrt: str = "prediction") -> tuple[Array, Array]:
    data = {"prediction": np.atleast_2d(p).astype(float), "target": np.atleast_2d(t).astype(float)}
    result = evaluate(get(name).bind(), data, reduction="sum", wants=Wants(grad=wrt, hess=wrt))
    assert result.gradient is not None
    assert result.hessian is not None
    return result.gradient, result.hessian


# Overlapping, within, apart.
BOXES = ([0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 2.0, 3.0], [5.0, 5.0, 6.0, 7.0])
OTHERS = ([1.0, 1.0, 3.0, 4.0], [0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 2.0, 1.0])


def plain(name: str, p: Any, t: Any) -> float:
    """The definition in float64, written without care."""
    (a, b, c, d), (e, f, g, h) = p, t
    inter = max(0.0, min(c, g) - max(a, e)) * max(0.0, min(d, h) - max(b, f))
    union = (c - a) * (d - b) + (g - e) * (h - f) - inter
    width, height = max(c, g) - min(a, e), max(d, h) - min(b, f)
    far = ((a + c - e - g) ** 2 + (b + d - f - h) ** 2) / 4 / (width**2 + height**2)
    v = 4 / math.pi**2 * (math.atan((g - e) / (h - f)) - math.atan((c - a) / (d - b))) ** 2
    miss = 1 - inter / union
    return {
        "iou": miss,
        "giou": miss + 1 - union / (width * height),
        "diou": miss + far,
        "ciou": miss + far + v * v / (miss + v),
    }[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_definition_written_without_care_agrees_where_it_can(name: str) -> None:
    expected = [plain(name, p, t) for p, t in zip(BOXES, OTHERS, strict=True)]
    np.testing.assert_allclose(values(name, BOXES, OTHERS), expected, rtol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_equal_boxes_have_a_loss_and_a_slope_of_exactly_zero(name: str) -> None:
    boxes = np.array([[0.1, 0.2, 0.7, 0.9], [-3.3, 1e-9, 1e5, 7.0], [1e200, 1e200, 3e200, 2e200]])
    assert not values(name, boxes, boxes).any()
    for wrt in ("prediction", "target"):
        assert not slopes(name, boxes, boxes, wrt)[0].any()


@pytest.mark.parametrize("gap", [1e-3, 1e-9, 1e-17, 1e-40])
def test_nearly_equal_boxes_keep_their_digits(gap: float) -> None:
    # In float64 1 - intersection/union is 0 from a gap of 1e-16 on; torchvision has 1e-7, its eps.
    p, t = [-gap, 0.0, 1.0, 1.0], UNIT
    miss = gap / (1.0 + gap)
    assert values("iou", p, t)[0] == pytest.approx(miss, rel=1e-15)
    assert values("giou", p, t)[0] == pytest.approx(miss, rel=1e-15)
    far = gap * gap / 4.0 / ((1.0 + gap) ** 2 + 1.0)
    assert values("diou", p, t)[0] == pytest.approx(miss + far, rel=1e-15)
    turn = 4.0 / math.pi**2 * math.atan(gap / (2.0 + gap)) ** 2
    assert values("ciou", p, t)[0] == pytest.approx(miss + far + turn * turn / (miss + turn), rel=1e-15)


def test_boxes_apart_have_no_slope_of_overlap_but_one_of_distance() -> None:
    p, t = [3.0, 0.0, 4.0, 1.0], UNIT
    assert values("iou", p, t)[0] == 1.0
    assert not any(slope.any() for slope in slopes("iou", p, t))
    # A hull of 4 by 1 of which 2 belong to both boxes.
    assert values("giou", p, t)[0] == 1.5
    np.testing.assert_array_equal(slopes("giou", p, t)[0], [[0.25, 0.0, -0.125, 0.0]])
    assert values("diou", p, t)[0] == pytest.approx(1.0 + 9.0 / 17.0, rel=1e-15)
    pulled = slopes("diou", p, t)[0][0]
    assert pulled[0] > 0.0
    assert pulled[0] + pulled[2] > 0.0


@pytest.mark.parametrize("name", NAMES)
def test_touching_boxes_are_boxes_apart(name: str) -> None:
    side, corner = [1.0, 0.0, 2.0, 1.0], [1.0, 1.0, 2.0, 2.0]
    expected = {"iou": (1.0, 1.0), "giou": (1.0, 1.5), "diou": (1.2, 1.25), "ciou": (1.2, 1.25)}[name]
    np.testing.assert_allclose(values(name, [side, corner], [UNIT, UNIT]), expected, rtol=1e-15)
    assert np.isfinite(slopes(name, [side, corner], [UNIT, UNIT])).all()
    if name == "iou":
        assert not slopes(name, [side, corner], [UNIT, UNIT])[0].any()


def test_an_edge_that_coincides_with_another_has_the_mean_of_its_slopes() -> None:
    # The left edges coincide: to the left 1/2 more of union, to the right 1/2 less of both; torch has the mean too.
    p, t = np.array([0.0, 0.0, 2.0, 1.0]), np.array([0.0, 0.0, 4.0, 1.0])
    left, right = (slopes("iou", p + np.array([step, 0.0, 0.0, 0.0]), t)[0][0, 0] for step in (-1e-12, 1e-12))
    assert left == pytest.approx(-1.0 / 8.0, rel=1e-11)
    assert right == pytest.approx(1.0 / 4.0, rel=1e-11)
    assert slopes("iou", p, t)[0][0, 0] == 1.0 / 16.0


FLAT = {
    "a segment across": ([-1.0, 0.5, 2.0, 0.5], UNIT),
    "a segment up": ([0.5, 0.2, 0.5, 0.9], UNIT),
    "a point within": ([0.5, 0.5, 0.5, 0.5], UNIT),
    "a point at a corner": ([1.0, 1.0, 1.0, 1.0], UNIT),
    "a flat truth": (UNIT, [0.0, 0.5, 1.0, 0.5]),
    "two segments": ([0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0]),
    "crossed segments": ([0.0, 0.5, 1.0, 0.5], [0.5, 0.0, 0.5, 1.0]),
    "the same point": ([2.0, 3.0, 2.0, 3.0], [2.0, 3.0, 2.0, 3.0]),
    "the origin": ([0.0] * 4, [0.0] * 4),
    "two points": ([0.0] * 4, UNIT[2:] * 2),
}


@pytest.mark.parametrize("kind", FLAT)
@pytest.mark.parametrize("name", NAMES)
def test_boxes_without_an_area_have_finite_slopes(name: str, kind: str) -> None:
    # torchvision's CIoU divides by the height: NaN gradients for the segments across, and for points.
    p, t = FLAT[kind]
    assert values("iou", p, t)[0] == 1.0
    assert 1.0 <= values(name, p, t)[0] <= 3.0
    for wrt in ("prediction", "target"):
        assert np.isfinite(slopes(name, p, t, wrt)).all()


def test_values_of_boxes_without_an_area() -> None:
    point, other = FLAT["two points"]
    assert values("giou", point, other)[0] == 2.0
    assert values("diou", point, other)[0] == 2.0
    for name in NAMES:
        # As in torchvision: 1, and a slope of 0.
        assert values(name, point, point)[0] == 1.0
        assert not slopes(name, point, point)[0].any()
    # A segment's angle is a right one: (90° - 45°)² of 4/π².
    across, unit = [0.0, 0.5, 1.0, 0.5], UNIT
    assert values("ciou", across, unit)[0] == pytest.approx(1.0 + 0.25**2 / (1.0 + 0.25), rel=1e-15)
    weight = 0.25 / 1.25
    assert slopes("ciou", across, unit)[0][0] == pytest.approx(
        slopes("diou", across, unit)[0][0] + weight * 8.0 / math.pi**2 * math.pi / 4.0 * np.array([0, 1.0, 0, -1.0]),
        rel=1e-14,
    )


def test_the_weight_of_ciou_is_held_constant() -> None:
    p, t = np.array([0.0, 0.0, 2.0, 1.0]), np.array([0.3, 0.4, 1.1, 2.0])
    gradient = slopes("ciou", p, t)[0][0]
    step = 1e-6 * np.eye(4)
    whole = [(values("ciou", p + d, t) - values("ciou", p - d, t))[0] / 2e-6 for d in step]
    assert np.abs(gradient - whole).max() > 1e-2 * np.abs(gradient).max()
    # Written out: the weight times the slope of the squared angle.
    v = 4.0 / math.pi**2 * (math.atan(0.8 / 1.6) - math.atan(2.0)) ** 2
    weight = v / (values("iou", p, t)[0] + v)
    lean = -8.0 / math.pi**2 * (math.atan(0.5) - math.atan(2.0)) * np.array([-1.0, 2.0, 1.0, -2.0]) / 5.0
    np.testing.assert_allclose(gradient, slopes("diou", p, t)[0][0] + weight * lean, rtol=1e-13)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("power", [-1000, -300, 300, 900])
def test_a_power_of_two_changes_no_bit(name: str, power: int) -> None:
    rng = np.random.default_rng(3)
    reads = get(name).reads
    p, t = (entry.draw(rng, (20, 4), 1.0) for entry in reads.inputs if entry.draw is not None)
    factor = 2.0**power
    np.testing.assert_array_equal(values(name, p * factor, t * factor), values(name, p, t))
    np.testing.assert_array_equal(slopes(name, p * factor, t * factor)[0], slopes(name, p, t)[0] / factor)


def test_axes_of_very_different_units() -> None:
    p, t = np.array([0.0, 0.0, 2.0, 2.0]), np.array([1.0, 1.0, 3.0, 4.0])
    units = np.array([1e250, 1e-250, 1e250, 1e-250])
    for name in ("iou", "giou"):
        assert values(name, p * units, t * units)[0] == pytest.approx(values(name, p, t)[0], rel=1e-14)
    # Only the wide axis is seen.
    assert values("diou", p * units, t * units)[0] == pytest.approx(values("iou", p, t)[0] + 1.0 / 9.0, rel=1e-14)


ROUGH = {
    "a tall neighbour": ([0.0, 0.0, 0.1, 0.001], [100.0, -50.0, 101.0, 50.0]),
    "a speck in a field": ([0.5, 0.5, 0.5 + 1e-9, 0.5 + 1e-8], [-1e4, -1e4, 1e4, 1e4]),
    "far from the origin": ([1e6, 1e6, 1e6 + 1.0, 1e6 + 2.0], [1e6 + 0.25, 1e6 - 0.5, 1e6 + 1.5, 1e6 + 1.0]),
    "nearly equal": ([0.1, 0.2, 0.7, 0.9], [0.1 + 1e-12, 0.2 - 3e-13, 0.7 + 2e-14, 0.9 - 1e-13]),
    "of one shape": ([0.0, 0.0, 1.1, 2.2], [0.1, 0.3, 2.3, 4.7]),
}


@pytest.mark.parametrize("kind", ROUGH)
@pytest.mark.parametrize("name", NAMES)
def test_rough_boxes_are_within_the_bounds(name: str, kind: str) -> None:
    p, t = (np.array([box]) for box in ROUGH[kind])
    made = Draw(get(name).bind(), {"prediction": p, "target": t}, How())
    assert check(made, ["value", "gradient"]) == 9


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([1.0, 0.0, 0.5, 1.0], "not 1, 0, 0.5, 1"),
        ([0.0, 2.0, 1.0, 1.0], "not 0, 2, 1, 1"),
        ([0.0, math.nan, 1.0, 1.0], "not nan"),
        ([0.0, -math.inf, 1.0, 1.0], "not -inf"),
    ],
)
@pytest.mark.parametrize("name", ["prediction", "target"])
def test_what_is_no_box_is_refused_by_its_row(name: str, row: list[float], said: str) -> None:
    data = {"prediction": np.array([UNIT] * 3), "target": np.array([UNIT] * 3)}
    data[name][1] = row
    with pytest.raises(DataError, match=f"{name} must be x1, y1, x2, y2 .* {said}$") as caught:
        evaluate(get("giou").bind(), data)
    assert caught.value.code == "domain"
    assert caught.value.place is not None


def test_a_box_has_four_numbers() -> None:
    wide = np.zeros((2, 6))
    with pytest.raises(DataError, match=r"prediction must be x1, y1, x2, y2 .* not 0, 0, 0, 0, 0, 0"):
        evaluate(get("iou").bind(), {"prediction": wide, "target": wide})


def test_the_line_of_a_box_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, last in (("p", "0,0,1,1"), ("t", "0,3,1,1")):
        (tmp_path / f"{name}.csv").write_text(f"x1,y1,x2,y2\n0,0,1,1\n{last}\n", encoding="utf-8")
    assert run(["compute", "ciou", str(tmp_path / "p.csv"), str(tmp_path / "t.csv")]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "t.csv:3: target must be x1, y1, x2, y2 with x1 <= x2 and y1 <= y2, not 0, 3, 1, 1" in printed.err


def sized(corners: Any, form: str) -> np.ndarray:
    """Boxes given by their corners as a point and a size."""
    x = np.asarray(corners, dtype=np.float64)
    size = x[:, 2:] - x[:, :2]
    return np.concatenate([x[:, :2] + (size / 2.0 if form == "cxcywh" else 0.0), size], axis=1)


@pytest.mark.parametrize("form", ["cxcywh", "xywh"])
@pytest.mark.parametrize("name", NAMES)
def test_a_point_and_a_size_are_a_box_too(name: str, form: str) -> None:
    # Quarters, which every form holds: coincident edges, one box within the other, boxes apart.
    rng = np.random.default_rng(11)
    start = rng.integers(-8, 8, (2, 60, 2)) / 4.0
    p, t = (np.concatenate([one, one + rng.integers(0, 12, (60, 2)) / 4.0], axis=1) for one in start)
    first, last = (0.5, 0.5) if form == "cxcywh" else (0.0, 1.0)
    for wrt in ("prediction", "target"):
        made = evaluate(
            get(name).bind(),
            {"prediction": sized(p, form), "target": sized(t, form)},
            how=How(link=form),
            reduction="none",
            wants=Wants(grad=wrt),
        )
        plain = evaluate(get(name).bind(), {"prediction": p, "target": t}, reduction="none", wants=Wants(grad=wrt))
        assert plain.gradient is not None
        by_start, by_end = plain.gradient[:, :2], plain.gradient[:, 2:]
        chained = np.concatenate([by_start + by_end, last * by_end - first * by_start], axis=1)
        assert made.value == pytest.approx(plain.value, rel=1e-14, abs=1e-16)
        assert made.gradient == pytest.approx(chained, rel=1e-13, abs=1e-15)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1.0, 1e200])
def test_far_from_the_origin_and_nearly_concentric_they_keep_their_digits(name: str, scale: float) -> None:
    rng = np.random.default_rng(12)
    for form in ("cxcywh", "xywh"):
        p = np.concatenate([rng.normal(size=(5, 2)), rng.uniform(0.5, 2.0, (5, 2))], axis=1) * scale
        t = p * (1.0 + 1e-7 * rng.normal(size=p.shape))
        draw = Draw(get(name).bind(), {"prediction": p, "target": t}, How(link=form))
        assert check(draw, ["value", "gradient"]) == 45


def test_negative_sizes_and_curvatures_by_sizes_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", prediction=[[0.0, 0.0, 2.0, 1.0], [3.0, 3.0, -1.0, 2.0]], target=np.ones((2, 4)))

    def compute(*words: str) -> Any:
        command = [sys.executable, "-m", "losscli", "compute", "giou", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    for form, words in (("cxcywh", "cx, cy, w, h"), ("xywh", "x1, y1, w, h")):
        done = compute("x.npz", "--from", form)
        assert (done.returncode, done.stdout) == (3, "")
        assert f"prediction[1]: prediction must be {words} with w >= 0 and h >= 0, not 3, 3, -1, 2" in done.stderr
    np.savez(tmp_path / "y.npz", prediction=[[0.0, 0.0, 2.0, 1.0]], target=[[0.5, 0.0, 2.0, 1.0]])
    done = compute("y.npz", "--from", "cxcywh", "--grad", "--hess")
    assert done.returncode == 2
    assert "has no diagonal Hessian" in done.stderr
    assert "--from corners" in done.stderr
    done = compute("y.npz", "--from", "cxcywh", "--grad", "--gradcheck", "--json")
    made = json.loads(done.stdout)
    # Three quarters of each box are shared, 1.5 of 2.5: the slope by the centre is -16/25 a unit.
    assert made["value"] == pytest.approx(0.4, rel=1e-15)
    assert made["gradient"]["values"][0][0] == pytest.approx(-0.64, rel=1e-15)
    assert made["gradcheck"]["verdict"] == "pass"
