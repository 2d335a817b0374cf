"""The ``quiz`` directive: a question, numbered options, and a reply to each, hidden in a comment until it is chosen.

    :::{quiz} Which points pull hardest on $w$?
    1. The points with the largest margins. <!-- no: Their weight is $e^{-m}$, the smallest of all. -->
    2. The points with the smallest margins. <!-- yes: The softmax of $-m$ prefers them. -->
    3. All points alike. <!-- no: Only at $w = 0$. -->
    :::

Comments are shown neither by Colab nor by GitHub, so the notebook gives nothing away. On the page each option is a
radio button whose reply the style sheet shows once it is checked: no script, so keyboard and screen reader work alike.
"""

import re

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

OPTION = re.compile(r"\d+\. +(?P<text>.*?) *<!-- *(?P<verdict>yes|no): *(?P<reply>.*?) *-->")
WORDS = {"yes": "Right. ", "no": "Not so. "}


class quiz(nodes.General, nodes.Element):
    """All of one question."""


class quiz_question(nodes.General, nodes.Element):
    """Its text."""


class quiz_option(nodes.General, nodes.Element):
    """One option; ``name`` and ``number`` make its id."""


class quiz_reply(nodes.General, nodes.Element):
    """What is said to a reader who chose the option above it; ``verdict`` is yes or no."""


class Quiz(SphinxDirective):
    """Reads the question from the directive's first line and its options, one a line, from the body."""

    has_content = True
    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        lines = [line for line in self.content if line.strip()]
        options = [OPTION.fullmatch(line.strip()) for line in lines]
        if len(options) < 3 or not all(options) or [o["verdict"] for o in options].count("yes") != 1:
            raise self.error("quiz: three or more lines '1. option <!-- yes|no: reply -->', one of them with yes")
        name = f"quiz-{self.env.new_serialno('quiz') + 1}"
        whole = quiz()
        whole += self.inline(quiz_question(), self.arguments[0])
        for number, option in enumerate(options, 1):
            whole += self.inline(quiz_option(name=name, number=number), option["text"])
            reply = quiz_reply(verdict=option["verdict"])
            reply += nodes.strong("", WORDS[option["verdict"]])
            whole += self.inline(reply, option["reply"])
        return [whole]

    def inline(self, node, text):
        """Put the parsed text into the node, without the paragraph around it: it stands in a label or a legend."""
        children, messages = self.parse_inline(text, lineno=self.lineno)
        node += children + messages
        return node


def open_option(self, node):
    name, number = node["name"], node["number"]
    self.body.append(
        f'<div class="quiz-option"><input type="radio" name="{name}" id="{name}-{number}"><label for="{name}-{number}">'
    )


def html(opening, closing):
    """The two visitors of a node that only opens and closes tags."""
    return lambda self, node: self.body.append(opening(node)), lambda self, node: self.body.append(closing)


def setup(app):
    app.add_node(quiz, html=html(lambda node: '<fieldset class="quiz">', "</fieldset>\n"))
    app.add_node(quiz_question, html=html(lambda node: "<legend>", "</legend>\n"))
    app.add_node(quiz_option, html=(open_option, lambda self, node: self.body.append("</label>")))
    # The reply closes the option's box: it is the sibling that `input:checked ~` shows.
    reply = '<div role="status"><p class="quiz-{}">'
    app.add_node(quiz_reply, html=html(lambda node: reply.format(node["verdict"]), "</p></div></div>\n"))
    app.add_directive("quiz", Quiz)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}
