"""The report as one page that opens offline: pictures, remedies and a table of the layers, in a single HTML file."""

from gradcheck_cli.render.html.document import render

__all__ = ["render"]
