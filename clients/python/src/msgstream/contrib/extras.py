"""The packages that integrations need, and msgstream itself does not."""

from __future__ import annotations


def needed(module: str, extra: str, error: ImportError) -> ImportError:
    """The error for a package that is not installed: it says how to install it."""
    return ImportError(f"msgstream.contrib.{module} needs {error.name or extra}: pip install 'msgstream[{extra}]'", name=error.name)
