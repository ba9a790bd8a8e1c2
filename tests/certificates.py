"""Real certificates for tests: an authority, a server, clients."""

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass
class Certificates:
    """PEM files in a folder."""

    folder: Path
    authority: trustme.CA

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, *names: str) -> tuple[Path, Path]:
        """(certificate, key) for these names."""
        issued = self.authority.issue_cert(*names)
        certificate, key = self.folder / f"{names[0]}.pem", self.folder / f"{names[0]}.key"
        certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return certificate, key


def new_authority(folder: Path) -> Certificates:
    """An authority of its own, in a new folder."""
    folder.mkdir()
    made = Certificates(folder, trustme.CA())
    made.authority.cert_pem.write_to_path(str(made.ca))
    return made
