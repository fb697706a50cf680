"""Errors of every part hang under one base, so that the command line prints them as one line.

EdgewrightError            str() is one line: what, where, what was expected, what to do
├── UsageError             the command was called wrongly (exit 2)
├── ManifestError          a document or file that breaks the contract
│   ├── DocumentError      JSON or TOML that does not match its type
│   ├── BundleError        a bundle that is damaged, incomplete or not one
│   └── TrustError         a signature, expiry, version or digest that does not hold
├── edgewright_runtime.errors.RuntimeFault
├── edgewright_converter.errors.ConverterError
└── edgewright_fleet.errors.FleetError
"""


class EdgewrightError(Exception):
    """Anything that a person can act on; `str()` is the one line to show."""


class UsageError(EdgewrightError):
    """The command was called wrongly; the command line exits 2."""


class ManifestError(EdgewrightError):
    """A document or file breaks the contract between the parts."""


class DocumentError(ManifestError):
    """JSON or TOML does not match its type."""

    def __init__(self, source: str, problem: str, remedy: str = "") -> None:
        self.source = source
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{source}: {problem}" + (f"; {remedy}" if remedy else ""))


class BundleError(ManifestError):
    """A bundle is damaged, incomplete or no bundle at all; get it again from where it was made."""


class TrustError(ManifestError):
    """A signature, expiry, version or digest does not hold; nothing was installed."""
