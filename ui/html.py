"""The few pieces of HTML the tabs share. Everything that comes from a file or a person is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def empty(title_and_line: tuple[str, str]) -> str:
    """What a place shows before there is anything: what it is for and how to start."""
    title, line = title_and_line
    return f'<div class="empty"><div><b>{escape(title)}</b><p>{escape(line)}</p></div></div>'


def lede(text: str) -> str:
    """The opening sentence of a tab."""
    return f'<p class="lede">{escape(text)}</p>'


def note(text: str) -> str:
    """Small print; the caller has escaped what needs it."""
    return f'<p class="note">{text}</p>' if text else ""


def alert(
    message: str, details: Sequence[str] = (), *, good: bool = False, summary: str = "Details", unfolded: bool = False
) -> str:
    """One sentence that must be read, with a list to unfold."""
    more = ""
    if details:
        items = "".join(f"<li>{escape(item)}</li>" for item in details)
        more = f"<details{' open' if unfolded else ''}><summary>{escape(summary)}</summary><ul>{items}</ul></details>"
    role = "status" if good else "alert"
    return f'<div class="alert{" good" if good else ""}" role="{role}">{escape(message)}{more}</div>'


def panel(inside: str) -> str:
    """A quiet box around a drawing."""
    return f'<div class="panel">{inside}</div>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A definition list of (term, text); empty texts are left out; texts are escaped."""
    rows = "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in pairs if text)
    return f'<dl class="facts">{rows}</dl>'


def numbers(pairs: Iterable[tuple[str, str]]) -> str:
    """Large figures with a caption under each: (caption, figure)."""
    cells = "".join(f"<div><b>{escape(figure)}</b><span>{escape(caption)}</span></div>" for caption, figure in pairs)
    return f'<div class="numbers">{cells}</div>'


def link(url: str, text: str) -> str:
    """A link that opens beside the page; only http(s) addresses become links."""
    if not url.startswith(("https://", "http://")):
        return escape(text)
    return f'<a href="{escape(url, quote=True)}" target="_blank" rel="noopener">{escape(text)}</a>'


def duration(seconds: float) -> str:
    """A length of time as people say it.

    Example:
        >>> duration(0.4), duration(75), duration(4000)
        ('under a second', '1 min 15 s', '1 h 7 min')
    """
    whole = round(seconds)
    if whole < 1:
        return "under a second"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def show_script(selector: str) -> str:
    """JavaScript for an event: bring an answer into view of which less than half is seen, as it is on a phone."""
    return f"""() => setTimeout(() => {{
  const answer = document.querySelector('{selector}');
  if (!answer) return;
  const place = answer.getBoundingClientRect(), height = window.innerHeight;
  const seen = Math.min(place.bottom, height) - Math.max(place.top, 0);
  const calm = window.matchMedia('(prefers-reduced-motion: reduce)').matches;
  if (seen < Math.min(place.height, height) / 2)
    answer.scrollIntoView({{behavior: calm ? 'auto' : 'smooth', block: 'start'}});
}}, 300)"""


SORT_SCRIPT = """
element.addEventListener('click', event => {
  const head = event.target.closest('table.board th');
  if (!head) return;
  const table = head.closest('table'), body = table.tBodies[0], column = head.cellIndex;
  const down = head.getAttribute('aria-sort') !== 'descending';
  table.querySelectorAll('th').forEach(th => th.removeAttribute('aria-sort'));
  head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
  const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  const rows = [...body.rows].sort((a, b) => {
    const x = key(a), y = key(b), p = parseFloat(x), q = parseFloat(y);
    if (x === '' || y === '') return (x === '') - (y === '');
    const order = Number.isNaN(p) || Number.isNaN(q) ? String(x).localeCompare(y) : (p === q ? 0 : p - q);
    return down ? -order : order;
  });
  body.append(...rows);
});
"""
"""For ``gr.HTML(js_on_load=...)``: a click on a column head sorts by the raw value in ``data-value``."""
