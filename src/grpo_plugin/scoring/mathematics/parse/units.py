"""Units of measure: their names, and how many of the base unit of their dimension they are."""

from collections.abc import Iterable
from fractions import Fraction

from grpo_plugin.scoring.mathematics.parse.lexicon import UNIT_FILLERS

Dimensions = dict[str, int]
Unit = tuple[Fraction, Dimensions]  # how many of the base unit, and the power of each dimension


def _factor(text: str) -> Fraction:
    top, _, bottom = text.partition("/")
    return Fraction(top) / Fraction(bottom or 1)


# A dimension per line; the first factor 1 is the base unit. "in" is an inch where nothing follows it.
_UNITS: dict[str, dict[str, str]] = {
    "metre": {
        "1": "m meter metre", "1e-2": "cm centimeter centimetre", "1e-3": "mm millimeter millimetre",
        "1e3": "km kilometer kilometre", "1e-1": "dm decimeter decimetre", "1e-6": "um micrometer micrometre micron",
        "1e-9": "nm nanometer", "0.0254": "inch inches in", "0.3048": "ft foot feet", "0.9144": "yd yard",
        "1609.344": "mi mile",
    },
    "gram": {
        "1": "g gram gm", "1e3": "kg kilogram kilo", "1e-3": "mg milligram", "1e-6": "ug microgram", "1e6": "tonne ton",
        "453.59237": "lb lbs pound", "28.349523125": "oz ounce",
    },
    "second": {
        "1": "s sec second", "1e-3": "ms millisecond", "1e-6": "us microsecond", "60": "min mins minute",
        "3600": "h hr hrs hour", "86400": "day", "604800": "week",
    },
    "month": {"1": "month mo", "12": "yr yrs year"},
    "unit": {"1": "unit"},
    "dollar": {"1": "$ dollar usd USD buck", "0.01": "¢ cent"},
    "euro": {"1": "€ euro eur EUR"},
    "sterling": {"1": "£ gbp GBP"},
    "yen": {"1": "yen"},
    "yuan": {"1": "¥ yuan rmb RMB"},
    "rupee": {"1": "₹ Rs rupee"},
    "volt": {"1": "V volt"},
    "ampere": {"1": "A amp ampere"},
    "ohm": {"1": "ohm Omega"},
    "kelvin": {"1": "K kelvin"},
    "celsius": {"1": "celsius Celsius"},
    "fahrenheit": {"1": "fahrenheit Fahrenheit"},
    "mole": {"1": "mol mole"},
    "radian": {"1": "rad radian"},
    "byte": {"1": "byte", "1e3": "KB kilobyte", "1e6": "MB megabyte", "1e9": "GB gigabyte"},
}  # fmt: skip
# A product of dimensions per line, with the factors of the units that measure it.
_PRODUCTS: tuple[tuple[Dimensions, dict[str, str]], ...] = (
    ({"metre": 1, "second": -1}, {"0.44704": "mph", "1000/3600": "kph kmh"}),
    ({"metre": 3}, {
        "1e-3": "L l liter litre", "1e-6": "mL ml milliliter millilitre cc", "1e-9": "uL",
        "3.785411784e-3": "gallon gal",
    }),
    ({"metre": 2}, {"4046.8564224": "acre", "1e4": "hectare ha"}),
    ({"gram": 1, "metre": 1, "second": -2}, {"1e3": "N newton", "1e6": "kN kilonewton"}),
    ({"gram": 1, "metre": 2, "second": -2}, {"1e3": "J joule", "1e6": "kJ kilojoule", "1e9": "MJ", "3.6e9": "kWh"}),
    ({"gram": 1, "metre": 2, "second": -3}, {"1e3": "W watt", "1e6": "kW kilowatt", "1e9": "MW megawatt"}),
    ({"gram": 1, "metre": -1, "second": -2}, {"1e3": "Pa pascal", "1e6": "kPa kilopascal", "1e9": "MPa"}),
    ({"second": -1}, {"1": "Hz hertz", "1e3": "kHz kilohertz", "1e6": "MHz megahertz"}),
)  # fmt: skip
SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}

_BY_NAME: dict[str, Unit] = {
    name: (_factor(factor), dimensions)
    for dimensions, factors in (*(({name: 1}, factors) for name, factors in _UNITS.items()), *_PRODUCTS)
    for factor, names in factors.items()
    for name in names.split()
}


# The unit of a figure without a measure: 5 units, 12 square units.
GENERIC = "unit"


def is_unit(name: str) -> bool:
    """Whether `name` (singular or plural) is a unit of measure."""
    return _find(name) is not None or name.lower() in SCALES


def is_dimension(name: str) -> bool:
    """Whether `name` is a dimension that is measured, and no thing that is counted."""
    return name in _UNITS and name != GENERIC


def read(name: str) -> Unit:
    """Factor and dimensions of one unit word; a word that is no unit is a dimension of its own, fillers are none."""
    if name.lower() in UNIT_FILLERS:
        return Fraction(1), {}
    if found := _find(name):
        return found
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


def _find(name: str) -> Unit | None:
    if name in _BY_NAME:
        return _BY_NAME[name]
    return _BY_NAME.get(singular(name.lower())) if len(name) > 2 else None
