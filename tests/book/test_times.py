"""The instructors' table of times is counted from the chapters, so the counting is what can be wrong."""

import icl_times
from icl_project import chapter_sources

CHAPTER = """---
a: header
---

# A title

```{code-cell} ipython3
# not a title
code that nobody reads as prose
```

WORDS

## Exercises

:::{exercise} One
:label: ex-one

*Difficulty 1 of 3, importance 3 of 3, 10 minutes, code.*

Text.
:::

:::{exercise} Two
:label: ex-two

*Difficulty 2 of 3, importance 2 of 3, 15 minutes, pen and paper.*
:::

## Say it back
"""


def test_words_and_minutes_are_counted(tmp_path):
    path = tmp_path / "01_a.md"
    path.write_text(CHAPTER.replace("WORDS", "word " * 2150), encoding="utf8")
    assert icl_times.times(path) == ("A title", 15, 25, None)  # 10.8 minutes and a few headings; no cost of that name
    path.write_text(CHAPTER.replace("WORDS", "word " * 1900), encoding="utf8")
    assert icl_times.times(path)[1] == 10


def test_every_chapter_has_a_row_and_plausible_times():
    assert len(icl_times.table()) == 2 + len(chapter_sources())
    for path in chapter_sources():
        title, reading, exercises, _ = icl_times.times(path)
        assert title
        assert 5 <= reading <= 60, path.name
        assert 10 <= exercises <= 240, path.name
