"""Units of measure: their names, and how many of the base unit of their dimension they are."""

from collections.abc import Iterable
from fractions import Fraction

from grpo_plugin.scoring.mathematics.parse.lexicon import UNIT_FILLERS

# A dimension per line; the first factor 1 is the base unit. "in" is an inch where nothing follows it.
_UNITS: dict[str, dict[str, str]] = {
    "metre": {
        "1": "m meter metre", "1e-2": "cm centimeter centimetre", "1e-3": "mm millimeter millimetre",
        "1e3": "km kilometer kilometre", "1e-1": "dm decimeter decimetre", "1e-6": "um micrometer micron",
        "1e-9": "nm nanometer", "0.0254": "inch inches in", "0.3048": "ft foot feet", "0.9144": "yd yard",
        "1609.344": "mi mile",
    },
    "gram": {
        "1": "g gram gm", "1e3": "kg kilogram kilo", "1e-3": "mg milligram", "1e6": "tonne ton",
        "453.59237": "lb lbs pound", "28.349523125": "oz ounce",
    },
    "second": {
        "1": "s sec second", "1e-3": "ms millisecond", "60": "min mins minute", "3600": "h hr hrs hour",
        "86400": "day", "604800": "week",
    },
    "month": {"1": "month mo", "12": "yr yrs year"},
    "litre": {"1": "L l liter litre", "1e-3": "mL ml milliliter millilitre"},
    "dollar": {"1": "$ dollar usd USD buck", "0.01": "¢ cent"},
    "euro": {"1": "€ euro eur EUR"},
    "sterling": {"1": "£ gbp GBP"},
    "yen": {"1": "yen"},
    "yuan": {"1": "¥ yuan rmb RMB"},
    "rupee": {"1": "₹ Rs rupee"},
    "newton": {"1": "N newton"},
    "joule": {"1": "J joule", "1e3": "kJ kilojoule"},
    "watt": {"1": "W watt", "1e3": "kW kilowatt"},
    "volt": {"1": "V volt"},
    "ampere": {"1": "A amp ampere"},
    "ohm": {"1": "ohm Omega"},
    "hertz": {"1": "Hz hertz", "1e3": "kHz"},
    "pascal": {"1": "Pa pascal", "1e3": "kPa"},
    "kelvin": {"1": "K kelvin"},
    "celsius": {"1": "celsius Celsius"},
    "fahrenheit": {"1": "fahrenheit Fahrenheit"},
    "mole": {"1": "mol mole"},
    "radian": {"1": "rad radian"},
    "byte": {"1": "byte", "1e3": "KB kilobyte", "1e6": "MB megabyte", "1e9": "GB gigabyte"},
}  # fmt: skip
_PRODUCTS = {
    "mph": (Fraction("1609.344") / 3600, {"metre": 1, "second": -1}),
    "kph": (Fraction(1000, 3600), {"metre": 1, "second": -1}),
    "kmh": (Fraction(1000, 3600), {"metre": 1, "second": -1}),
}
SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}

Dimensions = dict[str, int]
Unit = tuple[Fraction, Dimensions]  # how many of the base unit, and the power of each dimension
_BY_NAME: dict[str, tuple[Fraction, str]] = {
    name: (Fraction(factor), dimension)
    for dimension, factors in _UNITS.items()
    for factor, names in factors.items()
    for name in names.split()
}


def is_unit(name: str) -> bool:
    """Whether `name` (singular or plural) is a unit of measure."""
    return _find(name) is not None or name in _PRODUCTS or name.lower() in SCALES


def is_dimension(name: str) -> bool:
    """Whether `name` is a dimension that is measured, and no thing that is counted."""
    return name in _UNITS


def read(name: str) -> Unit:
    """Factor and dimensions of one unit word; a word that is no unit is a dimension of its own, fillers are none."""
    if name.lower() in UNIT_FILLERS:
        return Fraction(1), {}
    if name in _PRODUCTS:
        return _PRODUCTS[name]
    if found := _find(name):
        return found[0], {found[1]: 1}
    return Fraction(1), {singular(name.lower()): 1}


def is_unit_letter(letter: str) -> bool:
    """Whether a single letter after a number and a space is likelier a unit than a symbol."""
    return letter in "mgshLlNJWVKACFT"


def power(unit: Unit, exponent: int) -> Unit:
    return unit[0] ** exponent, {name: count * exponent for name, count in unit[1].items()}


def product(units: Iterable[Unit]) -> Unit:
    factor, dimensions = Fraction(1), Dimensions()
    for scale, counts in units:
        factor *= scale
        for name, count in counts.items():
            dimensions[name] = dimensions.get(name, 0) + count
    return factor, {name: count for name, count in dimensions.items() if count}


def singular(word: str) -> str:
    """apples → apple, boxes → box, berries → berry; good enough to match a word with its plural."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def _find(name: str) -> tuple[Fraction, str] | None:
    if name in _BY_NAME:
        return _BY_NAME[name]
    return _BY_NAME.get(singular(name.lower())) if len(name) > 2 else None
