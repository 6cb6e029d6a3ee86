"""What can be read off a picture of edges: its pixels along each edge, compared with the true weights.

A line is followed along the middle of its curve. At each place the pixels across it that look more like the
line's middle than like what lies behind belong to the line; their differences from the background (CIE76, D65)
are added up, in Delta-E x CSS pixels. A line's readback is the median of these along its curve, so that a
crossing does not count. Nothing of what the drawing program knows of an edge but its place is used.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

# Places along the curve, and the share of it that is looked at: ends meet others at the nodes.
PLACES = 48
MIDDLE = (0.15, 0.85)
# Steps across the line, CSS pixels.
ACROSS_PX = 0.5
# Degrees that a CSS pixel takes up: 96 dots an inch, seen from 60 cm.
PIXEL_DEG = 0.0252
# Noticeable differences of lightness, Stone, Szafir and Setlur 2014: p (A + B / degrees), for half of the readers.
ND_SHARE, ND_A, ND_B = 0.5, 10.16, 1.50
# Differences below this are no line at all, Delta-E.
LEAST_SEEN = 1.0
TOP_SHARE = 0.1
SURE_RATIO = 2.0

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])
# Machado, Oliveira and Fernandes 2009, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", doi:10.1109/TVCG.2009.113; on linear RGB.
SIGHTS: dict[str, Doubles] = {
    "full": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "greyscale": np.tile(_TO_XYZ[1], (3, 1)),
}


def lab(picture: npt.NDArray[np.uint8], sight: str = "full") -> Doubles:
    """Return CIELAB (height, width, 3) of an sRGB picture, as seen with one of ``SIGHTS``."""
    share = np.arange(256) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)[picture]
    seen = np.clip(linear @ SIGHTS[sight].T, 0, 1)
    xyz = seen @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1
    )


def curve_points(curves: Doubles, count: int = PLACES) -> tuple[Doubles, Doubles]:
    """Return points (edge, place, 2) evenly along the middle of cubic curves (edge, 4, 2), and normals."""
    t = np.linspace(0, 1, 201)
    u = 1 - t
    parts = np.stack([u**3, 3 * u * u * t, 3 * u * t * t, t**3])
    path = np.einsum("pt,epx->etx", parts, curves)
    steps = np.hypot(*np.moveaxis(np.diff(path, axis=1), -1, 0))
    length = np.concatenate([np.zeros((len(path), 1)), np.cumsum(steps, axis=1)], axis=1)
    wanted = np.linspace(*MIDDLE, count)
    points = np.empty((len(path), count, 2))
    normals = np.empty_like(points)
    for edge, (line, run) in enumerate(zip(path, length, strict=True)):
        at = np.interp(wanted * run[-1], run, t) if run[-1] > 0 else wanted
        for axis in range(2):
            points[edge, :, axis] = np.interp(at, t, line[:, axis])
        slope = np.stack([np.interp(at, t, np.gradient(line[:, axis])) for axis in range(2)], axis=-1)
        size = np.hypot(slope[:, 0], slope[:, 1])[:, None]
        normals[edge] = np.stack([-slope[:, 1], slope[:, 0]], axis=-1) / np.where(size > 0, size, 1)
    return points, normals


def sample(image: Doubles, points: Doubles) -> Doubles:
    """Return the image's values at points (..., 2) in pixels, mixed from the four pixels around each."""
    height, width = image.shape[:2]
    x = np.clip(points[..., 0] - 0.5, 0, width - 1.001)
    y = np.clip(points[..., 1] - 0.5, 0, height - 1.001)
    left, top = x.astype(int), y.astype(int)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    upper = image[top, left] * (1 - fx) + image[top, left + 1] * fx
    lower = image[top + 1, left] * (1 - fx) + image[top + 1, left + 1] * fx
    return upper * (1 - fy) + lower * fy


@dataclass(frozen=True)
class Read:
    """What was read off each edge: Delta-E x px, the line's width in CSS pixels, and both as steps seen."""

    amount: Doubles
    width: Doubles

    def take(self, chosen: npt.NDArray[np.bool_]) -> "Read":
        """Return what was read off some of the edges."""
        return Read(self.amount[chosen], self.width[chosen])

    @property
    def steps(self) -> Doubles:
        """Readback in noticeable differences of lightness for a line of that width."""
        return self.amount / (ND_SHARE * (ND_A * self.width + ND_B / PIXEL_DEG))


def read_lines(picture: Doubles, background: Doubles, curves: Doubles, reach: float) -> Read:
    """Read lines off a picture.

    Parameters
    ----------
    picture, background : (height, width, 3) arrays
        CIELAB of what is drawn, and of the same without the edges.
    curves : (edge, 4, 2) array
        Control points in pixels.
    reach : float
        How far from its middle any line of the picture may reach, pixels; the same for all lines.
    """
    points, normals = curve_points(curves)
    side = int(np.ceil(reach / ACROSS_PX))
    offsets = np.arange(-side, side + 1) * ACROSS_PX
    places = points[:, :, None, :] + normals[:, :, None, :] * offsets[None, None, :, None]
    seen, behind = sample(picture, places), sample(background, places)
    away = np.linalg.norm(seen - behind, axis=-1)
    alike = np.linalg.norm(seen - seen[:, :, side : side + 1], axis=-1) <= away
    alike[:, :, side] = away[:, :, side] >= LEAST_SEEN
    belongs = np.zeros_like(alike)
    belongs[:, :, side:] = np.logical_and.accumulate(alike[:, :, side:], axis=-1)
    belongs[:, :, : side + 1] |= np.logical_and.accumulate(alike[:, :, side::-1], axis=-1)[:, :, ::-1]
    amount = (away * belongs).sum(axis=-1) * ACROSS_PX
    width = belongs.sum(axis=-1) * ACROSS_PX
    return Read(np.median(amount, axis=1), np.median(width, axis=1))


def ranks(values: Doubles) -> Doubles:
    """Return ranks from 1; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + 1 + last) / 2)[inverse]


def spearman(x: Doubles, y: Doubles) -> float:
    """Spearman's rank correlation; NaN if one of the two does not vary."""
    a, b = ranks(x) - (len(x) + 1) / 2, ranks(y) - (len(y) + 1) / 2
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else float("nan")


def sure_tau(true: Doubles, read: Doubles) -> float:
    """Kendall's tau-a over pairs of which one weighs more than twice the other; NaN where there are none."""
    sure = true[:, None] > SURE_RATIO * true[None, :]
    sign = np.sign(read[:, None] - read[None, :])
    return float(sign[sure].mean()) if sure.any() else float("nan")


def top_edges(true: Doubles) -> npt.NDArray[np.bool_]:
    """Tell which edges are the strongest tenth, at least one."""
    count = max(1, round(TOP_SHARE * len(true)))
    top = np.zeros(len(true), dtype=bool)
    top[np.argsort(-true, kind="stable")[:count]] = True
    return top


def auc(read: Doubles, top: npt.NDArray[np.bool_]) -> float:
    """Probability that an edge of the strongest tenth reads stronger than another; ties count half."""
    if top.all():
        return float("nan")
    ahead = (ranks(read)[top].sum() - top.sum() * (top.sum() + 1) / 2) / (top.sum() * (~top).sum())
    return float(ahead)


def levels(steps: Doubles) -> float:
    """Effective number of levels: exp of the entropy of readbacks in bins of one noticeable difference."""
    counts = np.unique(np.floor(steps), return_counts=True)[1]
    share = counts / counts.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


@dataclass
class Scores:
    """Readback of one picture's edges that are compared with one another."""

    drawn: int
    rho: float
    tau: float
    auc: float
    gap: float
    levels: float
    visible: float
    top_visible: float
    interference: float = float("nan")
    other_rho: dict[str, float] = field(default_factory=dict)


def score(true: Doubles, read: Read) -> Scores:
    """Compare what was read with the true weights of the same edges."""
    top = top_edges(true)
    steps = read.steps
    rest = steps[~top] if (~top).any() else np.zeros(1)
    return Scores(
        drawn=len(true),
        rho=spearman(true, read.amount),
        tau=sure_tau(true, read.amount),
        auc=auc(read.amount, top),
        gap=float(np.median(steps[top]) - np.median(rest)),
        levels=levels(steps),
        visible=float((steps >= 1).mean()),
        top_visible=float((steps[top] >= 1).mean()),
    )
