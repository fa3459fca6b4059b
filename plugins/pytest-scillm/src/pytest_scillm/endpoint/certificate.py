"""A certificate for 127.0.0.1 and localhost, of an authority that only its owner trusts."""

from __future__ import annotations

import ssl
import tempfile
from importlib import import_module
from pathlib import Path


class Certificate:
    """An authority in a temporary file, and the TLS context of a server that it vouches for.

    Raises:
        ImportError: `trustme` is not installed.
    """

    def __init__(self) -> None:
        try:
            trustme = import_module("trustme")
        except ImportError:
            raise ImportError(
                "Endpoint(tls=True) makes its certificate with 'trustme', which is not installed;"
                " run: pip install trustme"
            ) from None
        authority = trustme.CA()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost", "::1").configure_cert(self.context)
        with tempfile.NamedTemporaryFile(suffix=".pem", delete=False) as file:
            file.write(authority.cert_pem.bytes())
        self.ca_path = file.name

    def remove(self) -> None:
        """Delete the file."""
        Path(self.ca_path).unlink(missing_ok=True)
