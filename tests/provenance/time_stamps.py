"""A time stamp server of RFC 3161 on this machine: OpenSSL answers."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.provenance.certificates import issue

_SETTINGS = """
[tsa]
serial = {folder}/serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256, sha384, sha512
ess_cert_id_chain = yes
ess_cert_id_alg = sha256
"""


@contextmanager
def time_stamping(folder: Path) -> Iterator[str]:
    """The address of a server whose files lie in `folder`."""
    issued = issue(folder, purpose=ExtendedKeyUsageOID.TIME_STAMPING)
    settings, query, reply = folder / "tsa.cnf", folder / "query", folder / "reply"
    settings.write_text(_SETTINGS.format(folder=folder))
    (folder / "serial").write_text("01\n")
    command = [
        *("openssl", "ts", "-reply", "-config", settings, "-section", "tsa", "-queryfile", query, "-out", reply),
        *("-signer", issued.certificate, "-inkey", issued.key, "-chain", issued.authority),
    ]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=30)
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(reply.read_bytes())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
