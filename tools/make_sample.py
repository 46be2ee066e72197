"""Writes the sample shop: a catalogue, a picture of every product, fifty customers with visible tastes.

    python tools/make_sample.py [DIRECTORY]

Everything follows from the tables below and `SEED`: running it again writes the same bytes. The directory
defaults to `sample/` of this checkout.
"""

import argparse
import csv
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

SEED = "personalize-connect"
"""Changing it changes every customer, and with them the lists the documentation shows."""

USERS = 50
"""Twice the 25 users with two or more interactions that Personalize asks for.

Source: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
"""

LAST_DAY = 1_748_649_600
"""Midnight UTC of 31 May 2025, the last day on which anyone visits the shop (Unix seconds)."""

DAYS = 90
"""Length of the shop's history."""

PRODUCT_URL = "https://shop.example.com/product/{id}"
IMAGE_URL = "http://127.0.0.1:8000/sample/images/{id}.svg"
"""Where `make run` serves the pictures, so that a rendered message shows them without a network."""

SOLD_OUT = frozenset({"teapot-stoneware", "lamp-arc", "turntable-walnut", "kite-delta"})
"""Products with a stock of 0, for trying out an exclusion."""

PRICE_LEVELS = (0.1, 0.5, 0.9)
"""Where a thrifty, an ordinary and a lavish customer look: 0 a category's cheapest product, 1 its dearest."""

SHELVES = {
    "Kitchen": """
        kettle-copper|Copper Kettle|89.00|kettle|copper|Hearthside|Hand-hammered, whistles softly at the boil.
        kettle-enamel|Enamel Kettle|42.50|kettle|cream|Hearthside|Two litres, for every kind of hob.
        teapot-stoneware|Stoneware Teapot|54.00|teapot|sage|Klee & Daughters|Glazed by hand, pours four cups.
        teapot-cobalt|Cobalt Teapot|36.00|teapot|cobalt|Klee & Daughters|A bright pot for grey mornings.
        mug-speckled|Speckled Mug|14.90|mug|oak|Klee & Daughters|Thick walls keep the coffee warm.
        mug-teal|Teal Camp Mug|9.90|mug|teal|Hearthside|Enamelled steel that forgives a fall.
        skillet-cast-iron|Cast-Iron Skillet|64.00|skillet|charcoal|Hearthside|Seasoned twice, lasts decades.
        skillet-brick|Brick-Red Omelette Pan|28.00|skillet|brick|Hearthside|Small, light, hard to scratch.
    """,
    "Lighting": """
        lamp-desk-brass|Brass Desk Lamp|119.00|desk_lamp|mustard|Northlight|Bends where you need it.
        lamp-desk-night|Midnight Desk Lamp|58.00|desk_lamp|night|Northlight|Warm light and a heavy foot.
        lamp-arc|Arc Reading Lamp|174.00|desk_lamp|charcoal|Lumen Works|Reaches over the largest armchair.
        pendant-rose|Rose Glass Pendant|132.00|pendant|rose|Lumen Works|Mouth-blown, no two quite alike.
        pendant-sage|Sage Dome Pendant|69.00|pendant|sage|Northlight|A quiet shade above the table.
        lantern-storm|Storm Lantern|34.00|lantern|brick|Northlight|Burns on through wind and drizzle.
        lantern-sky|Garden Lantern|19.50|lantern|sky|Northlight|Charges by day, glows all evening.
    """,
    "Garden": """
        can-watering-zinc|Zinc Watering Can|39.00|watering_can|sky|Greenfold|Five litres, a fine brass rose.
        can-watering-moss|Balcony Watering Can|17.50|watering_can|moss|Greenfold|For crowded window sills.
        plant-rubber|Potted Rubber Plant|32.00|plant|copper|Leaf & Loam|Half a metre tall when it leaves us.
        plant-fern|Bird's Nest Fern|21.00|plant|cobalt|Leaf & Loam|Happy in north-facing rooms.
        cactus-desert|Desert Cactus|12.00|cactus|mustard|Leaf & Loam|Asks for water once a month.
        cactus-rose|Flowering Cactus|15.50|cactus|rose|Leaf & Loam|Blooms in the dark of the winter.
        trowel-ash|Ash-Handled Trowel|24.00|trowel|oak|Greenfold|Forged in one piece, balanced in the hand.
        trowel-teal|Long Transplanter|48.00|trowel|teal|Greenfold|Narrow blade, marked in centimetres.
    """,
    "Books": """
        book-tides|A Year of Tides|24.00|book_waves|teal|Paper Heron|Twelve walks along twelve shores.
        book-lighthouse|The Lighthouse Ledger|16.00|book_waves|night|Paper Heron|A keeper and a storm.
        book-hills|Over the Low Hills|18.50|book_hills|moss|Paper Heron|A novel of two farms and one road.
        book-desert|Bread and Dust|13.00|book_hills|copper|Paper Heron|Letters from the edge of a desert.
        book-plums|Plum Season|11.00|book_hills|plum|Second Press|Short stories, best read slowly.
        books-classics|Pocket Classics, Set of Four|44.00|book_stack|brick|Second Press|Old friends, rebound.
        books-atlas|Atlas of Small Islands|79.00|book_stack|cobalt|Paper Heron|Three volumes in a slipcase.
        books-recipes|The Weeknight Kitchen|29.00|book_stack|mustard|Second Press|Ninety unhurried suppers.
    """,
    "Outdoors": """
        tent-ridge|Ridge Tent for Two|289.00|tent|moss|Farfell|Pitched in five minutes, dry for a week.
        tent-beach|Beach Shelter|59.00|tent|sky|Farfell|Shade and a windbreak in one bag.
        pack-day|Day Pack 22 L|78.00|backpack|mustard|Farfell|Room for lunch, rain and a good book.
        pack-trek|Trekking Pack 48 L|164.00|backpack|brick|Farfell|Carries the weight on your hips.
        bottle-steel|Steel Bottle|26.00|bottle|teal|Wayside|Cold for a day, hot for half of one.
        bottle-plum|Trail Flask|18.00|bottle|plum|Wayside|Fits a side pocket and a bicycle cage.
        compass-field|Field Compass|45.00|compass|oak|Wayside|Settles in two seconds, needs no battery.
        compass-night|Night Compass|62.00|compass|night|Wayside|A luminous dial for early starts.
    """,
    "Audio": """
        headphones-studio|Studio Headphones|219.00|headphones|charcoal|Overtone|Open-backed and honest.
        headphones-rose|Everyday Headphones|89.00|headphones|rose|Overtone|Thirty hours between charges.
        headphones-sky|First Headphones|34.00|headphones|sky|Pebble Audio|Gentle volume for young ears.
        speaker-shelf|Bookshelf Speaker|149.00|speaker|oak|Overtone|Fills a room without filling the shelf.
        speaker-teal|Kitchen Speaker|64.00|speaker|teal|Pebble Audio|Shrugs off steam and splashes.
        turntable-walnut|Walnut Turntable|329.00|turntable|copper|Overtone|Belt-driven, with a new cartridge.
        turntable-plum|Starter Turntable|139.00|turntable|plum|Pebble Audio|Plug it in and play a record.
    """,
    "Toys": """
        train-brick|Wooden Steam Train|38.00|train|brick|Tumblewood|Beech wheels, a magnet at either end.
        train-sky|Little Blue Engine|22.00|train|sky|Tumblewood|Runs on every wooden track.
        blocks-classic|Building Blocks|29.50|blocks|mustard|Tumblewood|Forty blocks, sanded and oiled.
        blocks-sage|Stacking Arches|17.00|blocks|sage|Tumblewood|Seven shapes, no wrong answer.
        boat-harbour|Harbour Sailing Boat|46.00|boat|cobalt|Paper Moon Toys|Really floats, really sails.
        boat-bath|Bath-Time Boat|12.50|boat|rose|Paper Moon Toys|Cork hull, cotton sail.
        kite-delta|Plum Delta Kite|33.00|kite|plum|Paper Moon Toys|Flies in the lightest breeze.
    """,
    "Clothing": """
        beanie-mustard|Merino Beanie|32.00|beanie|mustard|Fold & Fell|Knitted in one piece, no seam to itch.
        beanie-night|Fisherman Beanie|24.00|beanie|night|Fold & Fell|Short, dense and windproof.
        jumper-moss|Shetland Jumper|128.00|jumper|moss|Fold & Fell|Undyed yoke, made to be mended.
        jumper-rose|Cotton Jumper|74.00|jumper|rose|Common Thread|Soft from the first day.
        jumper-brick|Lambswool Jumper|96.00|jumper|brick|Fold & Fell|Warm enough to leave the coat at home.
        socks-teal|Walking Socks|15.00|socks|teal|Common Thread|Padded where the boot rubs.
        socks-plum|Bed Socks|11.50|socks|plum|Common Thread|Brushed inside, for cold floors.
    """,
}
"""Per category: id, name, price, motif, palette, brand, description."""

PALETTES = {
    "brick": "#fbebe7 #f5d3ca #bd4b35 #853022 #ee9d8a #3d6d73",
    "charcoal": "#efeff1 #dcdde2 #43474f #272a30 #858b96 #e0a33e",
    "cobalt": "#e9effb #d2dff6 #2f5bb7 #1d3b7c #8db0f0 #f2b441",
    "copper": "#fbeee4 #f6dcc8 #c8713f #8f4a25 #f0b48c #3f5e5a",
    "cream": "#eaf3ef #cfe3da #f6f0e0 #b3a688 #ffffff #d2583f",
    "moss": "#f0f3e4 #dfe6c5 #6d7f35 #495720 #b7c67d #c9573c",
    "mustard": "#fdf5e0 #f8e6b6 #e0a526 #a87612 #f7d67f #37556b",
    "night": "#e8eaf4 #cfd4ea #303a6b #1c2347 #7c88c2 #f6cf65",
    "oak": "#f7f1e8 #ecdfca #b98a56 #825c32 #e3c399 #5c7f68",
    "plum": "#f4ecf7 #e4d3ec #84509b #5a326d #c49fd4 #f0c05a",
    "rose": "#fcedf0 #f7d8df #d4708a #9c445c #f3b9c7 #4d6a8a",
    "sage": "#eff4ea #dbe7d1 #7fa072 #547049 #c3d8b8 #d98a52",
    "sky": "#e9f5fc #cfe8f8 #5aa9d6 #2f7aa6 #b5dcf2 #f4a259",
    "teal": "#e5f5f4 #c9e9e6 #2b8f8a #17625f #88cfca #f08a5d",
}
"""Per palette, in the order of `COLOURS`."""

COLOURS = ("back", "disc", "main", "dark", "pale", "spot")
"""What the motifs call the colours of a palette."""

FRAME = Template(
    """\
<svg xmlns="http://www.w3.org/2000/svg" width="400" height="400" viewBox="0 0 200 200" role="img">
<title>$title</title>
<rect width="200" height="200" fill="$back"/>
<circle cx="100" cy="98" r="76" fill="$disc"/>
<ellipse cx="100" cy="163" rx="60" ry="6" fill="$dark" opacity=".18"/>
<g stroke-linecap="round" stroke-linejoin="round">
$motif</g>
</svg>
"""
)

MOTIFS = {
    "kettle": """
<path d="M62 98c-4-62 80-62 76 0" fill="none" stroke="$dark" stroke-width="8"/>
<path d="M136 118l28-26 12 8-28 42z" fill="$dark"/>
<path d="M48 162c-6-50 16-76 52-76s58 26 52 76z" fill="$main"/>
<path d="M64 144c-1-24 6-36 18-43" fill="none" stroke="$pale" stroke-width="6"/>
<path d="M72 92q28-14 56 0z" fill="$dark"/><circle cx="100" cy="78" r="8" fill="$spot"/>
""",
    "teapot": """
<path d="M142 104c34-10 36 42 0 38" fill="none" stroke="$dark" stroke-width="9"/>
<path d="M66 146c-26-4-24-44-44-50l8-8c28 2 24 24 44 28z" fill="$dark"/>
<path d="M78 162h44c44-22 30-76-22-76s-66 54-22 76z" fill="$main"/>
<path d="M55 122q45 14 90 0" fill="none" stroke="$pale" stroke-width="5" stroke-dasharray="1 11"/>
<path d="M72 94q28-24 56 0z" fill="$dark"/><circle cx="100" cy="76" r="8" fill="$spot"/>
""",
    "mug": """
<path d="M128 98c40-8 40 48 0 42" fill="none" stroke="$dark" stroke-width="11"/>
<path d="M58 82h76l-5 72q-1 8-9 8h-48q-8 0-9-8z" fill="$main"/>
<ellipse cx="96" cy="82" rx="38" ry="8" fill="$dark"/><ellipse cx="96" cy="84" rx="30" ry="5" fill="#5b3a26"/>
<path d="M74 112h.1m18 14h.1m18-12h.1m-28 30h.1m22 2h.1" fill="none" stroke="$pale" stroke-width="6"/>
<path d="M82 66c-8-10 8-14 0-26m28 26c-8-10 8-14 0-26" fill="none" stroke="$spot" stroke-width="5"
 opacity=".6"/>
""",
    "skillet": """
<g transform="rotate(-38 100 100)">
<path d="M132 93h58q8 7 0 14h-58z" fill="$dark"/><circle cx="184" cy="100" r="3" fill="$disc"/>
<circle cx="86" cy="100" r="56" fill="$dark"/><circle cx="86" cy="100" r="47" fill="$main"/>
<path d="M52 92a36 36 0 0 1 34-28" fill="none" stroke="$pale" stroke-width="5" opacity=".7"/></g>
<path d="M70 118c-12-22 12-34 24-26 20-10 40 12 26 26 4 20-22 24-28 14-10 6-22-2-22-14z" fill="#fffaf0"/>
<circle cx="97" cy="112" r="12" fill="#f5b335"/><circle cx="93" cy="108" r="3" fill="#ffe3a0"/>
""",
    "desk_lamp": """
<path d="M126 74l30 64H66z" fill="#ffc93c" opacity=".35"/>
<path d="M68 154l-14-58 52-40" fill="none" stroke="$dark" stroke-width="7"/>
<circle cx="54" cy="96" r="7" fill="$spot"/>
<path d="M96 52l24-18q30 8 36 40l-46 16q-14-16-14-38z" fill="$main"/>
<path d="M108 56l12-10" fill="none" stroke="$pale" stroke-width="6"/>
<path d="M110 90l46-16q0 16-18 21t-28-5z" fill="#fff3c4"/>
<path d="M40 162q0-14 14-14h28q14 0 14 14z" fill="$main"/>
""",
    "pendant": """
<path d="M50 116h100l24 46H26z" fill="#ffc93c" opacity=".3"/>
<path d="M100 0v50" stroke="$dark" stroke-width="4"/>
<rect x="88" y="44" width="24" height="18" rx="4" fill="$dark"/>
<circle cx="100" cy="114" r="15" fill="#fff3c4"/>
<path d="M40 116c0-74 120-74 120 0z" fill="$main"/>
<path d="M58 102c4-20 14-28 26-32" fill="none" stroke="$pale" stroke-width="6"/>
<path d="M40 116h120" stroke="$dark" stroke-width="6"/>
""",
    "lantern": """
<path d="M72 66c-8-50 64-50 56 0" fill="none" stroke="$dark" stroke-width="5"/>
<path d="M66 78q34-50 68 0z" fill="$main"/><rect x="70" y="78" width="60" height="64" rx="6" fill="#fff3c4"/>
<circle cx="100" cy="114" r="22" fill="#ffc93c" opacity=".4"/>
<path d="M100 92c18 18 14 36 0 36s-18-18 0-36z" fill="#f5a623"/>
<path d="M100 108c8 8 6 17 0 17s-8-8 0-17z" fill="#fff3c4"/>
<path d="M73 80v60m54-60v60" stroke="$dark" stroke-width="5"/>
<path d="M62 78h76M66 142h68l6 20H60z" fill="$main" stroke="$main" stroke-width="6"/>
""",
    "watering_can": """
<path d="M118 100c46-18 52 40 8 46M66 92c2-40 56-40 58 0" fill="none" stroke="$dark" stroke-width="8"/>
<path d="M66 142L24 86l10-8 40 40z" fill="$dark"/><path d="M14 92l26-22" stroke="$spot" stroke-width="9"/>
<path d="M62 92h66l8 70H54z" fill="$main"/><ellipse cx="95" cy="92" rx="33" ry="7" fill="$dark"/>
<path d="M58 126h74" stroke="$pale" stroke-width="5"/>
<path d="M12 108v8m10-4v10m-14 8v8" stroke="#4fa3d8" stroke-width="4"/>
""",
    "plant": """
<g fill="#3f7d4e"><path d="M98 118C50 116 34 84 40 56c34 4 58 26 58 62z"/>
<path d="M102 118c48-2 64-34 58-62-34 4-58 26-58 62z"/></g>
<path d="M100 116C72 82 78 46 100 26c22 20 28 56 0 90z" fill="#5fa468"/>
<path d="M100 120V46M98 118Q84 84 56 70m46 48q14-34 42-48" fill="none" stroke="#2d5e3a" stroke-width="3"/>
<path d="M66 118h68l-8 44H74z" fill="$main"/><rect x="60" y="110" width="80" height="15" rx="4" fill="$dark"/>
<path d="M82 134l3 18" stroke="$pale" stroke-width="5"/>
""",
    "cactus": """
<path d="M82 92H66q-8 0-8-8V70m60 32h16q8 0 8-8V76" fill="none" stroke="#4d8f5b" stroke-width="15"/>
<rect x="80" y="38" width="40" height="88" rx="20" fill="#5fa468"/>
<path d="M92 56v8m16 2v8M92 82v8m16 4v8m-50-30v4m84 4v4" stroke="#e6f2dc" stroke-width="3"/>
<g fill="#e86f8c"><circle cx="92" cy="36" r="7"/><circle cx="108" cy="36" r="7"/>
<circle cx="100" cy="28" r="7"/></g>
<circle cx="100" cy="35" r="5" fill="#fff3c4"/>
<path d="M66 122h68l-8 40H74z" fill="$main"/><rect x="60" y="114" width="80" height="14" rx="4" fill="$dark"/>
<path d="M78 146l8-8 8 8 8-8 8 8 8-8 6 6" fill="none" stroke="$pale" stroke-width="4"/>
""",
    "trowel": """
<g transform="rotate(32 100 100)"><path d="M100 182c-28-20-30-50-26-78h52c4 28 2 58-26 78z" fill="#b9c2c9"/>
<path d="M100 172v-62" stroke="#8c979f" stroke-width="4"/>
<path d="M100 106V76" stroke="#8c979f" stroke-width="9"/>
<rect x="88" y="16" width="24" height="64" rx="12" fill="$main"/>
<path d="M95 30v34" stroke="$pale" stroke-width="5"/><path d="M88 70h24" stroke="$dark" stroke-width="6"/></g>
<path d="M140 162c0-22 4-30 14-40" fill="none" stroke="#3f7d4e" stroke-width="4"/>
<path d="M144 138c-20 0-24-14-22-22 14 0 22 8 22 22zm4-6c0-16 10-24 24-22 0 14-8 22-24 22z" fill="#5fa468"/>
""",
    "book_waves": """
<path d="M60 38h78q6 0 6 6v112q0 6-6 6H60q-10 0-10-10V48q0-10 10-10z" fill="$dark"/>
<path d="M60 146h80v10H60q-5 0-5-5t5-5z" fill="#fffaf0"/><path d="M62 38h76q6 0 6 6v104H62z" fill="$main"/>
<circle cx="118" cy="72" r="14" fill="$spot"/>
<path d="M76 58h22m-22 12h14" stroke="#fffaf0" stroke-width="4"/>
<path d="M62 106q10-12 20 0t20 0 20 0 22 0v42H62z" fill="$pale"/>
<path d="M62 124q10-12 20 0t20 0 20 0 22 0v24H62z" fill="$dark"/>
""",
    "book_hills": """
<path d="M60 38h78q6 0 6 6v112q0 6-6 6H60q-10 0-10-10V48q0-10 10-10z" fill="$dark"/>
<path d="M60 146h80v10H60q-5 0-5-5t5-5z" fill="#fffaf0"/><path d="M62 38h76q6 0 6 6v104H62z" fill="$pale"/>
<circle cx="88" cy="82" r="17" fill="#fff3c4"/><path d="M76 54h54" stroke="$dark" stroke-width="5"/>
<path d="M62 118q30-44 54-12t28-14v56H62z" fill="$main"/>
<path d="M62 136q36-22 82 0v12H62z" fill="$dark"/>
""",
    "book_stack": """
<rect x="42" y="136" width="116" height="26" rx="5" fill="$main"/>
<rect x="52" y="110" width="100" height="26" rx="5" fill="$spot"/>
<rect x="46" y="84" width="104" height="26" rx="5" fill="$dark"/>
<path d="M146 142h12v14h-12zm-6-26h12v14h-12zm-2-26h12v14h-12z" fill="#fffaf0"/>
<path d="M60 136v26m10-26v26m-6-52v26m-4-52v26m10-26v26" stroke="$pale" stroke-width="4"/>
<g transform="rotate(-14 92 72)"><rect x="52" y="56" width="96" height="24" rx="5" fill="$pale"/>
<path d="M136 61h12v14h-12z" fill="#fffaf0"/><path d="M66 56v24m50-12H82" stroke="$main" stroke-width="4"/>
</g>
""",
    "tent": """
<circle cx="150" cy="52" r="13" fill="$spot"/>
<path d="M34 162l18-44 18 44zm104 0l16-38 16 38z" fill="#5b8a63"/>
<path d="M100 58L36 162h128z" fill="$main"/><path d="M100 58l64 104h-34z" fill="$dark"/>
<path d="M100 84l-28 78h56z" fill="$dark"/><path d="M100 84l-28 78h22z" fill="$pale"/>
<path d="M94 48l6 10 6-10M62 124l-30 38m106-38l34 38" fill="none" stroke="$dark" stroke-width="4"/>
""",
    "backpack": """
<path d="M84 48c0-24 32-24 32 0" fill="none" stroke="$dark" stroke-width="7"/>
<path d="M50 104h12v50H50q-6 0-6-8v-30q0-12 6-12zm100 0h-12v50h12q6 0 6-8v-30q0-12-6-12z" fill="$dark"/>
<path d="M58 88c0-60 84-60 84 0v64q0 10-10 10H68q-10 0-10-10z" fill="$main"/>
<path d="M58 88c0-60 84-60 84 0-26 14-58 14-84 0z" fill="$pale"/>
<rect x="70" y="116" width="60" height="36" rx="8" fill="$dark"/>
<path d="M76 128h48" stroke="$pale" stroke-width="3"/>
<path d="M84 84v20m32-20v20" stroke="$spot" stroke-width="7"/><circle cx="100" cy="66" r="6" fill="$spot"/>
""",
    "bottle": """
<rect x="84" y="28" width="32" height="22" rx="6" fill="$dark"/>
<path d="M116 32c20 0 20 24 4 28" fill="none" stroke="$dark" stroke-width="5"/>
<path d="M84 50h32q18 12 18 34v66q0 12-12 12H78q-12 0-12-12V84q0-22 18-34z" fill="$main"/>
<path d="M66 108h68v32H66z" fill="$pale"/>
<path d="M66 140l20-24 14 14 12-10 22 20z" fill="$dark"/><circle cx="118" cy="116" r="5" fill="$spot"/>
<path d="M78 98V82q0-10 8-18" fill="none" stroke="$pale" stroke-width="5"/>
""",
    "compass": """
<circle cx="100" cy="42" r="12" fill="none" stroke="$dark" stroke-width="6"/>
<circle cx="100" cy="106" r="56" fill="$dark"/><circle cx="100" cy="106" r="48" fill="$main"/>
<circle cx="100" cy="106" r="39" fill="#fffaf0"/>
<path d="M100 72v6m0 56v6m-34-34h6m56 0h6m-58-24l4 4m40 40l4 4m0-48l-4 4m-40 40l-4 4"
 stroke="$pale" stroke-width="4"/>
<path d="M122 84l-15 29-14-14z" fill="$spot"/><path d="M78 128l15-29 14 14z" fill="$dark"/>
<circle cx="100" cy="106" r="5" fill="#fffaf0"/>
""",
    "headphones": """
<path d="M46 116c-8-104 116-104 108 0" fill="none" stroke="$dark" stroke-width="11"/>
<path d="M60 72c14-34 66-34 80 0" fill="none" stroke="$pale" stroke-width="4"/>
<rect x="34" y="98" width="30" height="60" rx="14" fill="$main"/>
<rect x="136" y="98" width="30" height="60" rx="14" fill="$main"/>
<rect x="58" y="104" width="14" height="48" rx="7" fill="$dark"/>
<rect x="128" y="104" width="14" height="48" rx="7" fill="$dark"/>
<path d="M43 114v14m114-14v14" stroke="$pale" stroke-width="5"/>
<path d="M90 118v20m10-30v40m10-34v28m-30-20v10m40-10v10" stroke="$spot" stroke-width="5"/>
""",
    "speaker": """
<rect x="58" y="34" width="84" height="126" rx="12" fill="$main"/>
<rect x="66" y="42" width="68" height="110" rx="7" fill="$dark"/>
<circle cx="100" cy="68" r="16" fill="$pale"/><circle cx="100" cy="68" r="7" fill="$dark"/>
<circle cx="100" cy="118" r="28" fill="$pale"/><circle cx="100" cy="118" r="20" fill="$main"/>
<circle cx="100" cy="118" r="8" fill="$spot"/><path d="M70 160v4m60-4v4" stroke="$dark" stroke-width="7"/>
<path d="M156 78q8 20 0 40m12-52q14 32 0 64M44 78q-8 20 0 40M32 66q-14 32 0 64" fill="none" stroke="$spot"
 stroke-width="5" opacity=".7"/>
""",
    "turntable": """
<rect x="32" y="50" width="136" height="104" rx="10" fill="$main"/>
<path d="M44 154v8m112-8v8" stroke="$dark" stroke-width="12"/>
<circle cx="86" cy="102" r="44" fill="#24262b"/>
<g fill="none" stroke="#4a4e57" stroke-width="2"><circle cx="86" cy="102" r="36"/>
<circle cx="86" cy="102" r="28"/></g>
<circle cx="86" cy="102" r="16" fill="$spot"/><circle cx="86" cy="102" r="4" fill="#fffaf0"/>
<circle cx="148" cy="70" r="11" fill="$dark"/>
<path d="M148 70v44l-26 14" fill="none" stroke="$pale" stroke-width="6"/>
<path d="M122 128l-8 4" stroke="$dark" stroke-width="10"/>
<circle cx="150" cy="138" r="5" fill="$pale"/>
""",
    "train": """
<path d="M62 50c-10-12 6-14 4-24m-16 20c-8-8 2-10 0-18" fill="none" stroke="#fff" stroke-width="8"/>
<path d="M52 92V70h-6V58h32v12h-6v22z" fill="$dark"/>
<rect x="36" y="90" width="84" height="50" rx="12" fill="$main"/>
<path d="M108 66h50v74h-50z" fill="$main"/><rect x="102" y="54" width="62" height="14" rx="5" fill="$dark"/>
<rect x="120" y="78" width="26" height="24" rx="4" fill="#fff3c4"/>
<path d="M48 104h48" stroke="$pale" stroke-width="6"/>
<path d="M28 140h140v8H28z" fill="$dark"/>
<g fill="$spot"><circle cx="58" cy="148" r="15"/><circle cx="98" cy="148" r="15"/>
<circle cx="142" cy="144" r="19"/></g>
<g fill="#fffaf0"><circle cx="58" cy="148" r="5"/><circle cx="98" cy="148" r="5"/>
<circle cx="142" cy="144" r="6"/></g>
""",
    "blocks": """
<path d="M38 116h46v46H38z" fill="$main"/><path d="M116 116h46v46h-46z" fill="$dark"/>
<path d="M50 116V84h100v32h-22c0-38-56-38-56 0z" fill="$spot"/>
<path d="M64 82l36-44 36 44z" fill="$main"/><path d="M64 82l36-44v44z" fill="$pale"/>
<circle cx="61" cy="139" r="11" fill="$pale"/><path d="M128 150l11-20 11 20z" fill="$pale"/>
<circle cx="100" cy="148" r="14" fill="$pale"/>
<path d="M92 144q2-6 7-7" fill="none" stroke="#fff" stroke-width="4"/>
""",
    "boat": """
<path d="M100 30v96" stroke="$dark" stroke-width="6"/>
<path d="M106 36c40 20 50 52 48 80h-48z" fill="#fffaf0"/>
<path d="M94 52c-26 18-40 40-44 64h44z" fill="$pale"/><path d="M106 82h42l6 20h-48z" fill="$spot"/>
<path d="M100 32l-24-6 24-8z" fill="$spot"/>
<path d="M36 124h128q-6 38-34 38H70q-28 0-34-38z" fill="$main"/>
<path d="M40 138h120" stroke="$pale" stroke-width="5"/>
<path d="M20 162q10-10 20 0t20 0 20 0 20 0 20 0 20 0 20 0 20 0q-2 14-20 14H40q-18 0-20-14z" fill="$pale"/>
<path d="M20 162q10-10 20 0t20 0 20 0 20 0 20 0 20 0 20 0 20 0" fill="none" stroke="$dark" stroke-width="5"/>
""",
    "kite": """
<path d="M30 62q10-16 26-6 16-12 24 6zm96 76q8-14 22-6 14-8 20 6z" fill="#fff"/>
<path d="M126 28L72 64l-6 66 60-34z" fill="$main"/><path d="M126 28L72 64l27 16z" fill="$spot"/>
<path d="M126 28v68L99 80z" fill="$pale"/><path d="M126 96l-60 34 33-50z" fill="$dark"/>
<path d="M66 130c-18 14 14 20 2 32s-26 4-24 20" fill="none" stroke="$dark" stroke-width="3"/>
<path d="M60 138l-6 12 14-2zm6 28l14 6-12 6z" fill="$spot"/>
""",
    "beanie": """
<circle cx="100" cy="44" r="19" fill="$spot"/>
<path d="M92 36l4 6m10-8l-2 8m-8 6l4 6m8-6l4 4" stroke="#fff" stroke-width="3" opacity=".6"/>
<path d="M46 132c0-100 108-100 108 0z" fill="$main"/>
<path d="M100 62v60M80 68q-12 24-10 54m50-54q12 24 10 54" fill="none" stroke="$dark"
 stroke-width="4" opacity=".45"/>
<path d="M52 106l12-10 12 10 12-10 12 10 12-10 12 10 12-10 12 10" fill="none" stroke="$pale"
 stroke-width="5"/>
<rect x="38" y="124" width="124" height="36" rx="14" fill="$dark"/>
<path d="M58 132v20m17-20v20m17-20v20m17-20v20m17-20v20m17-20v20" stroke="$main" stroke-width="5"/>
""",
    "jumper": """
<path d="M70 46L42 62 24 140l26 8 16-48v58h68v-58l16 48 26-8-18-78-28-16z" fill="$main"/>
<path d="M74 44c4 24 48 24 52 0l-10-4H84z" fill="$dark"/><path d="M82 42c4 14 32 14 36 0z" fill="$disc"/>
<path d="M66 152h68v10H66zm-42-18l27 8-3 10-26-8zm152 0l-27 8 3 10 26-8z" fill="$dark"/>
<path d="M66 98l8.5-9 8.5 9 8.5-9 8.5 9 8.5-9 8.5 9 8.5-9 8.5 9" fill="none" stroke="$spot" stroke-width="4"/>
<path d="M74 110h.1m17 0h.1m17 0h.1m17 0h.1" stroke="$pale" stroke-width="6"/>
""",
    "socks": """
<path d="M96 42h38v74c0 10-6 16-14 22l-26 20c-22 14-44-12-24-28l26-22z" fill="$dark"/>
<path d="M64 42h38v74c0 10-6 16-14 22l-26 20c-22 14-44-12-24-28l26-22z" fill="$main"/>
<path d="M64 42h38v16H64zm64 0h6v16h-32V42z" fill="$spot"/>
<path d="M66 72h34m-34 14h34" stroke="$pale" stroke-width="6"/>
<path d="M102 110c-14-2-20 8-16 22l4 4c8-6 12-12 12-20z" fill="$spot"/>
<path d="M38 130c-16 12-4 34 14 32 2-14-2-26-14-32z" fill="$spot"/>
""",
}
"""Drawings on a canvas of 200 by 200, standing on y = 162."""


@dataclass(frozen=True)
class Product:
    """One thing the sample shop sells."""

    id: str
    name: str
    category: str
    price: str
    """In the shop's currency, two decimals, as the catalogue shows it."""
    motif: str
    palette: str
    brand: str
    description: str


@dataclass(frozen=True)
class Customer:
    """Somebody who visits the sample shop, and what they like."""

    id: str
    age: int
    favourites: tuple[str, ...]
    """One or two categories, the dearer to them first."""
    price_level: float
    """One of `PRICE_LEVELS`."""


@dataclass(frozen=True, order=True)
class Interaction:
    """One line of the history; sorts by time."""

    timestamp: int
    user_id: str
    item_id: str
    event_type: str


def products() -> list[Product]:
    """Everything the shop sells, in catalogue order: by category, then as listed in `SHELVES`."""
    found = []
    for category, shelf in SHELVES.items():
        for line in shelf.strip().splitlines():
            item_id, name, price, motif, palette, brand, description = line.strip().split("|")
            found.append(Product(item_id, name, category, price, motif, palette, brand, description))
    return found


def picture(product: Product) -> str:
    """The product's illustration, as an SVG document without fonts, scripts or outside references."""
    colours = dict(zip(COLOURS, PALETTES[product.palette].split(), strict=True))
    motif = Template(MOTIFS[product.motif].lstrip()).substitute(colours)
    return FRAME.substitute(colours, title=escape(product.name), motif=motif)


def customers() -> list[Customer]:
    """The fifty customers, `user1` first. Neighbours in the list never share their first favourite."""
    rng = _stream("customers")
    categories = list(SHELVES)
    found = []
    for number in range(USERS):
        first = categories[number % len(categories)]
        others = [category for category in categories if category != first]
        favourites = (first, rng.choice(others)) if rng.random() < 0.7 else (first,)  # noqa: PLR2004 - most have two
        found.append(Customer(f"user{number + 1}", rng.randint(19, 74), favourites, rng.choice(PRICE_LEVELS)))
    return found


def interactions(*, catalogue: Sequence[Product], people: Iterable[Customer]) -> list[Interaction]:
    """Three months of visits, oldest first."""
    history: list[Interaction] = []
    for customer in people:
        rng = _stream(customer.id)
        appeal = _appeal(customer, catalogue=catalogue, rng=rng)
        for _ in range(rng.randint(6, 14)):
            start = LAST_DAY - rng.randrange(DAYS) * 86_400 + rng.randint(7 * 3_600, 22 * 3_600)
            history.extend(_visit(customer.id, start=start, appeal=appeal, rng=rng))
    return sorted(history)


def loyalty_tier(purchases: int) -> str:
    """The tier that so many purchases in the history earn."""
    if purchases >= 8:  # noqa: PLR2004 - the shop's own rule, nowhere else
        return "gold"
    return "silver" if purchases >= 4 else "bronze"  # noqa: PLR2004 - the same


def write(directory: Path) -> None:
    """Write the sample's data and pictures into `directory`, over what an earlier run left there."""
    catalogue = products()
    people = customers()
    history = interactions(catalogue=catalogue, people=people)

    images = directory / "images"
    images.mkdir(parents=True, exist_ok=True)
    for product in catalogue:
        (images / f"{product.id}.svg").write_text(picture(product), encoding="utf-8", newline="\n")

    rng = _stream("stock")
    _write_csv(
        directory / "items.csv",
        header=("id", "url", "name", "price", "image", "category", "brand", "stock", "description"),
        rows=(
            (
                product.id,
                PRODUCT_URL.format(id=product.id),
                product.name,
                product.price,
                IMAGE_URL.format(id=product.id),
                product.category,
                product.brand,
                0 if product.id in SOLD_OUT else rng.randint(3, 120),
                product.description,
            )
            for product in catalogue
        ),
    )
    _write_csv(
        directory / "interactions.csv",
        header=("USER_ID", "ITEM_ID", "EVENT_TYPE", "TIMESTAMP"),
        rows=((event.user_id, event.item_id, event.event_type, event.timestamp) for event in history),
    )
    purchases = Counter(event.user_id for event in history if event.event_type == "Purchase")
    _write_csv(
        directory / "users.csv",
        header=("USER_ID", "AGE", "LOYALTY_TIER"),
        rows=((person.id, person.age, loyalty_tier(purchases[person.id])) for person in people),
    )


def _stream(name: str) -> random.Random:
    """A source of chance of its own for each purpose: a new customer leaves the others as they were."""
    return random.Random(f"{SEED}/{name}")  # noqa: S311 - made-up data that must repeat, not a secret


def _appeal(customer: Customer, *, catalogue: Sequence[Product], rng: random.Random) -> dict[str, float]:
    """How likely the customer is to look at each product, by id, relative to the others."""
    appeal = {}
    for category in SHELVES:
        shelf = sorted((p for p in catalogue if p.category == category), key=lambda p: float(p.price))
        share = {customer.favourites[-1]: 0.3, customer.favourites[0]: 0.6}.get(category, 0.01)
        for place, product in enumerate(shelf):
            distance = abs(place / (len(shelf) - 1) - customer.price_level)
            appeal[product.id] = share * (1.05 - distance) ** 4 * rng.uniform(0.3, 1.0)
    return appeal


def _visit(user_id: str, *, start: int, appeal: dict[str, float], rng: random.Random) -> Iterator[Interaction]:
    """One visit: a few products looked at, some put into the basket, some of those bought at the end."""
    now = start
    basket = []
    for item_id in dict.fromkeys(rng.choices(list(appeal), list(appeal.values()), k=rng.randint(3, 7))):
        yield Interaction(now, user_id, item_id, "View")
        now += rng.randint(15, 240)
        if rng.random() < 0.22:  # noqa: PLR2004 - an ordinary shop's rate
            yield Interaction(now, user_id, item_id, "AddToCart")
            now += rng.randint(10, 60)
            basket.append(item_id)
    if rng.random() < 0.5:  # noqa: PLR2004 - every other basket is left behind
        for item_id in basket:
            yield Interaction(now + 60, user_id, item_id, "Purchase")


def _write_csv(path: Path, *, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the sample shop's data and pictures.")
    parser.add_argument("directory", nargs="?", type=Path, default=Path(__file__).resolve().parent.parent / "sample")
    write(parser.parse_args().directory)
