"""What is sold: data sets that might exist. Names, tags, sizes and prices are made up; nothing is stored anywhere."""

import random
from typing import Final

import msgspec


class Goods(msgspec.Struct, frozen=True):
    name: str
    media_type: str
    tags: tuple[str, ...]
    description: str
    size: int
    """Bytes."""
    storage_days: int
    price: int
    """Hundredths of a token."""


class _Theme(msgspec.Struct, frozen=True):
    """`{place}`, `{language}`, `{year}`, `{quarter}` and `{count}` are filled in, in name and description."""

    name: str
    media_type: str
    tags: tuple[str, ...]
    description: str
    smallest: int
    largest: int
    """Bytes, both."""


_KB: Final = 1_000
_MB: Final = 1_000_000

_THEMES: Final = (
    _Theme(
        "Hourly air quality, {place} {year}",
        "text/csv",
        ("air quality", "sensors", "hourly"),
        "PM2.5, PM10 and NO₂ from {count} street sensors, calibrated against the city's reference station.",
        2 * _MB,
        40 * _MB,
    ),
    _Theme(
        "Tram and bus arrivals, {place}, {quarter} {year}",
        "application/vnd.apache.parquet",
        ("transport", "timetables", "delays"),
        "Planned and actual arrivals at {count} stops, to the second. Cancelled runs are marked, not left out.",
        30 * _MB,
        400 * _MB,
    ),
    _Theme(
        "Street trees of {place}, survey of {year}",
        "application/geo+json",
        ("trees", "maps", "city"),
        "Species, girth, height and condition of every tree on public ground, with its position to half a metre.",
        800 * _KB,
        25 * _MB,
    ),
    _Theme(
        "Bicycle counts, {place}, {quarter} {year}",
        "text/csv",
        ("transport", "cycling", "counts"),
        "Counts every five minutes in both directions from {count} loops. Gaps are empty, never filled in.",
        300 * _KB,
        9 * _MB,
    ),
    _Theme(
        "Rooftop solar yield, {count} homes near {place}, {year}",
        "application/vnd.apache.parquet",
        ("energy", "solar", "households"),
        "Yield and use in steps of a minute, with orientation and pitch of each roof. Homes are numbered, not named.",
        15 * _MB,
        300 * _MB,
    ),
    _Theme(
        "Dawn chorus, wetlands of {place}, spring {year}",
        "audio/flac",
        ("birds", "audio", "biodiversity"),
        "{count} mornings from half an hour before sunrise, four microphones, species labelled by two listeners.",
        120 * _MB,
        900 * _MB,
    ),
    _Theme(
        "Harbour noise, {place}, {quarter} {year}",
        "text/csv",
        ("noise", "harbour", "sensors"),
        "Sound levels in thirds of an octave, every second, and the ships at the quay in the same hour.",
        5 * _MB,
        60 * _MB,
    ),
    _Theme(
        "River levels and turbidity above {place}, {year}",
        "text/csv",
        ("water", "hydrology", "sensors"),
        "Level, temperature and turbidity every ten minutes at {count} gauges, with the dates of each cleaning.",
        400 * _KB,
        6 * _MB,
    ),
    _Theme(
        "Spoken numbers in {language}",
        "application/zip",
        ("speech", "audio", "{language}"),
        "The numbers from 0 to 99, read by {count} speakers of all ages, with their consent. 16 kHz, one file each.",
        60 * _MB,
        700 * _MB,
    ),
    _Theme(
        "Handwritten forms in {language}, transcribed",
        "application/zip",
        ("handwriting", "images", "{language}"),
        "{count} pages written for this set, scanned at 300 dpi, each line transcribed twice and compared.",
        90 * _MB,
        600 * _MB,
    ),
    _Theme(
        "Menus of {count} restaurants in {language}, translated",
        "application/json",
        ("food", "translation", "{language}"),
        "Dishes, prices and allergens, translated into English by hand. With permission of the restaurants.",
        200 * _KB,
        4 * _MB,
    ),
    _Theme(
        "Winter wheat from above, fields near {place}, {year}",
        "image/tiff",
        ("agriculture", "drone", "multispectral"),
        "Five bands at 4 cm a pixel from sowing to harvest, georeferenced, with the yield of {count} strips.",
        150 * _MB,
        900 * _MB,
    ),
    _Theme(
        "Resting heart rate of {count} runners, {year}",
        "text/csv",
        ("health", "wearables", "sport"),
        "Nightly minimum and training load for a year, given by the runners for research. Ages in bands of five years.",
        500 * _KB,
        12 * _MB,
    ),
    _Theme(
        "Shop receipts, anonymised, {place}, {quarter} {year}",
        "application/x-ndjson",
        ("retail", "prices", "food"),
        "Baskets with item, amount and price from {count} grocers. No cards, no names, times rounded to the hour.",
        20 * _MB,
        250 * _MB,
    ),
    _Theme(
        "Topsoil samples around {place}, {year}",
        "text/csv",
        ("soil", "agriculture", "chemistry"),
        "pH, organic carbon, nitrogen and 14 metals of {count} samples, with the laboratory's limits of detection.",
        60 * _KB,
        2 * _MB,
    ),
    _Theme(
        "Glacier edge, one picture a day, {year}",
        "video/mp4",
        ("climate", "glacier", "time-lapse"),
        "Noon pictures from a fixed camera, aligned, with {count} control points measured on the rock beside the ice.",
        200 * _MB,
        800 * _MB,
    ),
)

_PLACES: Final = (
    "Rotterdam",
    "Porto",
    "Graz",
    "Tallinn",
    "Nantes",
    "Osaka",
    "Valparaíso",
    "Kraków",
    "Leeds",
    "Halifax",
    "Trieste",
    "Göteborg",
    "Pune",
    "Mombasa",
    "Zürich",
    "Montevideo",
)
_LANGUAGES: Final = ("Basque", "Catalan", "Danish", "Finnish", "Japanese", "Portuguese", "Swahili", "Welsh")
_PRICES: Final = (120, 150, 200, 240, 275, 300, 360, 450, 500, 640, 750, 900, 1200, 1500, 1800, 2400, 3600, 4800)
_DAYS: Final = (7, 14, 30, 30, 60, 90, 180)


def make_goods(chance: random.Random) -> Goods:
    theme = chance.choice(_THEMES)
    words = {
        "place": chance.choice(_PLACES),
        "language": chance.choice(_LANGUAGES),
        "year": str(chance.randint(2019, 2025)),
        "quarter": chance.choice(("first quarter", "second quarter", "third quarter", "fourth quarter")),
        "count": str(chance.randint(12, 480)),
    }
    return Goods(
        name=theme.name.format(**words),
        media_type=theme.media_type,
        tags=tuple([tag.format(**words).lower() for tag in theme.tags]),
        description=theme.description.format(**words),
        size=chance.randint(theme.smallest, theme.largest),
        storage_days=chance.choice(_DAYS),
        price=chance.choice(_PRICES),
    )


def compute_new_price(price: int, chance: random.Random) -> int:
    """Base units: a tenth to a third more or less, to two digits, never the same and never below 2."""
    step = int("1" + "0" * (len(str(price)) - 2))
    change = max(price * chance.randint(10, 33) // 100 // step, 1) * step
    return price - change if price - change >= 2 and chance.random() < 0.5 else price + change
