"""Joins tagged PDFs of one book: pages, structure for screen readers, outline, and the links between them."""

from io import BytesIO

import pikepdf
from pikepdf import Array, Dictionary, Name, OutlineItem


def tree(kind, root, key):
    """The entries of a name tree or a number tree, or nothing where there is none."""
    return dict(kind(root[key]).items()) if key in root else {}


def page_of(target, order: dict) -> tuple[int, float]:
    """Of a target: the number of its page, from zero, and how high on it the target is."""
    return order[target[0].objgen], float(target[3])


def said_once(title: str) -> str:
    """A title without its echo: the browser says some headings twice."""
    half = len(title) // 2
    return title[:half] if title[:half] == title[half:] else title


def outline(pdf: pikepdf.Pdf, order: dict, start: int, items) -> list[OutlineItem]:
    """The entries of a document's outline, led to the pages of the book."""
    made = []
    for item in items:
        page, top = page_of(item.destination, order)
        new = OutlineItem(said_once(item.title.strip()), start + page, "XYZ", top=top)
        new.children.extend(outline(pdf, order, start, item.children))
        new.is_closed = True
        made.append(new)
    return made


class Book:
    """A PDF that grows by whole documents; ``missing`` are the links that lead nowhere."""

    def __init__(self, elsewhere: str, shift: float):
        self.pdf, self.elsewhere, self.shift = pikepdf.Pdf.new(), elsewhere, shift
        self.parents, self.ids, self.targets, self.items, self.next_key = {}, {}, {}, [], 0
        self.document = self.pdf.make_indirect(Dictionary(Type=Name.StructElem, S=Name.Document, K=Array()))

    def add(self, data: bytes, level: int) -> None:
        """Append a document; its outline goes under the last entry of the level above."""
        source, start = pikepdf.open(BytesIO(data)), len(self.pdf.pages)
        order = {page.objgen: number for number, page in enumerate(source.pages)}
        for page in source.pages:
            self.pdf.pages.append(page)
        self.add_structure(self.pdf.copy_foreign(source.Root.StructTreeRoot), start)
        for name, target in source.Root.get("/Dests", {}).items():
            page, top = page_of(target, order)
            self.targets[name] = (start + page, top - self.shift)
        with source.open_outline() as old:
            items = outline(source, order, start, old.root)
        (self.items if level == 1 or not self.items else self.items[-1].children).extend(items)

    def add_structure(self, root, start: int) -> None:
        """Append a structure tree: its keys count on, its ids get a number in front."""
        for page in list(self.pdf.pages)[start:]:
            for holder in [page.obj, *page.get("/Annots", [])]:
                for key in {"/StructParents", "/StructParent"} & set(holder.keys()):
                    holder[key] = int(holder[key]) + self.next_key
        for key, value in tree(pikepdf.NumberTree, root, "/ParentTree").items():
            self.parents[int(key) + self.next_key] = value
        for name, element in tree(pikepdf.NameTree, root, "/IDTree").items():
            element.ID = pikepdf.String(f"{start}-{name}")
            self.ids[f"{start}-{name}"] = element
        self.next_key = max(self.parents, default=-1) + 1
        for element in root.K if isinstance(root.K, Array) else [root.K]:
            element.S, element.P = Name.Sect, self.document
            self.document.K.append(element)

    def finish(self, language: str) -> list[str]:
        """Write structure, links and outline; returns the links that lead nowhere."""
        pdf, missing = self.pdf, []
        for page in pdf.pages:
            for link in page.get("/Annots", []):
                address = str(link.A.get("/URI", "")) if "/A" in link else ""
                if address.startswith(self.elsewhere):
                    del link["/A"]
                    link.Dest = Name("/" + address.removeprefix(self.elsewhere))
                if "/Dest" in link and str(link.Dest) not in self.targets:
                    missing.append(str(link.Dest))
        dests = {name: Array([pdf.pages[n].obj, Name.XYZ, None, top, None]) for name, (n, top) in self.targets.items()}
        pdf.Root.Dests = pdf.make_indirect(Dictionary(dests))
        root = pdf.make_indirect(Dictionary(Type=Name.StructTreeRoot, K=self.document, ParentTreeNextKey=self.next_key))
        self.document.P, self.document.Lang = root, language
        numbers, names = pikepdf.NumberTree.new(pdf), pikepdf.NameTree.new(pdf)
        for key, value in self.parents.items():
            numbers[key] = value
        for name, element in self.ids.items():
            names[name] = element
        root.ParentTree, root.IDTree = numbers.obj, names.obj
        pdf.Root.StructTreeRoot = root
        pdf.Root.MarkInfo = Dictionary(Marked=True)
        pdf.Root.Lang = language
        with pdf.open_outline() as new:
            new.root.extend(self.items)
        return missing
