"""Two plots as plain SVG text: scores image by image, and quality against cost.

No plotting library: the files are small, sharp at any zoom, the same bytes everywhere, follow the page's light or dark
colours, and can be put into an HTML page as they are.
"""

from eval.plots.distribution import distribution_svg
from eval.plots.pareto import frontier, pareto_svg
from eval.plots.svg import WIDTH, style, ticks

__all__ = ["WIDTH", "distribution_svg", "frontier", "pareto_svg", "style", "ticks"]
