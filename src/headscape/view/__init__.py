"""Traces as an interactive page: one offline file, or inline in a notebook."""

from headscape.view.frames import Frame
from headscape.view.page import page_html, write_page
from headscape.view.show import LivePage

__all__ = ["Frame", "LivePage", "page_html", "write_page"]
