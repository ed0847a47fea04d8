"""What others reach: published sensitive distances on the MLGWSC-1 data sets, to be drawn beside ours."""

# Mpc at 1000, 100, 10 and 1 false alarms a month; None where a search cannot say.
RATES = (1000.0, 100.0, 10.0, 1.0)
SOURCE = "arXiv 2209.11146"
PUBLISHED = {
    "set1": {
        "PyCBC (matched filter)": (2852, 2687, 2551, 2492),
        "Virgo-AUTh (54-layer ResNet)": (2720, 2512, 2318, 2116),
        "TPI FSU Jena": (2818, 2635, 2472, 2363),
    },
    "set2": {
        "PyCBC (matched filter)": (1852, 1709, 1591, 1509),
        "Virgo-AUTh (54-layer ResNet)": (1814, 1597, 1417, 1064),
        "TPI FSU Jena": (1876, 1707, 1544, 1443),
    },
    "set3": {
        "PyCBC (matched filter)": (1847, 1738, 1630, 1581),
        "Virgo-AUTh (54-layer ResNet)": (1846, 1650, 1496, 1180),
        "TPI FSU Jena": (1898, 1729, 1594, 1257),
    },
    "set4": {
        "PyCBC (matched filter)": (1850, 1722, 1610, 1544),
        "Virgo-AUTh (54-layer ResNet)": (1840, 1609, 1400, 1092),
        "TPI FSU Jena": (1734, None, None, None),
    },
}
