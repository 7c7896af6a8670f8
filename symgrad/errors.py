"""The errors that symgrad raises; every message says what to do."""


class SymgradError(Exception):
    """The base of every error that symgrad raises on purpose."""


class ShapeError(SymgradError, ValueError):
    """Dimensions do not fit: found at declaration, or when a program is called."""


class DTypeError(SymgradError, TypeError):
    """A data type is unsupported, or does not suit the operation."""


class GraphError(SymgradError, ValueError):
    """A duplicate or unknown name, an unreachable tensor, or a graph used wrongly."""


class ParseError(SymgradError, ValueError):
    """Text is not in the accepted notation; the message gives the column."""


class DerivationError(SymgradError, ValueError):
    """A derivative does not exist or cannot be derived."""


class CompileError(SymgradError, RuntimeError):
    """A graph could not be turned into a program."""


class FormatError(SymgradError, ValueError):
    """A file or an output format is not as expected."""


class NumericError(SymgradError, ArithmeticError):
    """A NaN arose where ``nan_check=True`` looks for one, or a value is not finite."""
