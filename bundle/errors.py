"""What can be wrong with a bundle or a registry, as a tree that tells the caller what to catch.

Every message is one sentence that says what is wrong and what to do.

    BundleError
    ├── InvalidBundle        the folder or the prefix does not hold a bundle as the format demands
    │   ├── UnknownSchema    its schema version is not one that this release reads
    │   └── DigestMismatch   a byte changed: a file, or the manifest, is not what was written
    └── RegistryError        the registry cannot do what was asked
        ├── NotFound         no such model, version, label or digest
        └── LabelMoved       somebody moved the label first
"""


class BundleError(Exception):
    """The root: catch this to catch all that this room raises."""


class InvalidBundle(BundleError):
    """The folder or the prefix does not hold a bundle as the format demands."""


class UnknownSchema(InvalidBundle):
    """The manifest's schema version is not one that this release reads."""


class DigestMismatch(InvalidBundle):
    """A file, or the manifest itself, is not what was written."""


class RegistryError(BundleError):
    """The registry cannot do what was asked."""


class NotFound(RegistryError):
    """No such model, version, label or digest."""


class LabelMoved(RegistryError):
    """The label does not hold what the caller expected: somebody moved it first."""
