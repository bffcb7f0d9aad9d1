"""Are the local links of pages good? Files must exist and anchors must be there; addresses of the network are not asked.

python docs/links.py FOLDER     every *.html below the folder, but the theme's own and viewcode's index
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name in ("href", "src"):
                self.links.append(value)
            elif value and (name == "id" or (name == "name" and tag == "a")):
                self.anchors.add(value)


def of_html(path: Path) -> tuple[list[str], set[str]]:
    """(links, anchors) of a page."""
    page = _Page(path.read_text())
    return page.links, page.anchors


def of_markdown(path: Path) -> tuple[list[str], set[str]]:
    """(links, anchors of headings as GitHub makes them) outside code."""
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
    return re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`\n]*`", "", text)), anchors


def broken(paths: list[Path], root: Path) -> list[str]:
    """'PAGE: LINK' for each local link that leads nowhere; a link to a page may leave out its suffix, as MyST's do."""
    kinds = {".html": of_html, ".md": of_markdown}
    read = {path.resolve(): kinds[path.suffix](path) for path in paths}
    found = []
    for path, (links, _) in read.items():
        for link in links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir() and (target / "index.html").exists():
                target /= "index.html"
            if not target.exists() and path.suffix == ".md":
                target = target.with_name(target.name + ".md")
            lost = not target.exists() or not target.is_relative_to(root.resolve())
            anchor = unquote(parts.fragment)
            if target.suffix in kinds and not lost and anchor:
                if target not in read:
                    read_one = kinds[target.suffix](target)
                    lost = anchor not in read_one[1]
                else:
                    lost = anchor not in read[target][1]
            if lost:
                found.append(f"{path.relative_to(root.resolve())}: {link}")
    return sorted(set(found))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    pages = [page for page in sorted(folder.rglob("*.html")) if page.relative_to(folder).parts[0] != "_static"]
    # viewcode lists modules there whose page it then does not write
    problems = broken([page for page in pages if page != folder / "_modules" / "index.html"], folder)
    print(*problems, sep="\n", end="\n" if problems else "")
    sys.exit(bool(problems))
