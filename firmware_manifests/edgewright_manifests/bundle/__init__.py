"""A bundle: one model version in all its converted forms, as an OCI image layout directory."""

from edgewright_manifests.bundle.oci import (
    ARTIFACT,
    DOCUMENT,
    GOLDEN,
    MEASUREMENTS,
    REPORT,
    VARIANT,
    Descriptor,
    VariantManifest,
    parse_manifest,
)
from edgewright_manifests.bundle.reader import Bundle, BundleEntry, open_bundle
from edgewright_manifests.bundle.unpacked import assemble_unpacked, read_unpacked
from edgewright_manifests.bundle.writer import BundleWriter

__all__ = [
    "ARTIFACT",
    "DOCUMENT",
    "GOLDEN",
    "MEASUREMENTS",
    "REPORT",
    "VARIANT",
    "Bundle",
    "BundleEntry",
    "BundleWriter",
    "Descriptor",
    "VariantManifest",
    "assemble_unpacked",
    "open_bundle",
    "parse_manifest",
    "read_unpacked",
]
