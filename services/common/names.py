"""Names for people: every worker gets one that nobody else in the swarm bears."""

from __future__ import annotations

from collections.abc import Collection
from random import Random

NAMES: tuple[str, ...] = (
    "Andromeda", "Apollo", "Ariadne", "Artemis", "Athena", "Atlas", "Aurora", "Borealis", "Callisto",
    "Calypso", "Cassini", "Castor", "Ceres", "Comet", "Corona", "Cosmos", "Cygnus", "Daedalus", "Daphne",
    "Demeter", "Draco", "Echo", "Eclipse", "Electra", "Europa", "Eos", "Galatea", "Ganymede", "Gaia",
    "Halley", "Helios", "Hera", "Hermes", "Hydra", "Hyperion", "Icarus", "Io", "Iris", "Janus", "Juno",
    "Jupiter", "Kepler", "Leda", "Luna", "Lyra", "Maia", "Mars", "Medea", "Mercury", "Meteor", "Mimas",
    "Minerva", "Miranda", "Mira", "Nebula", "Neptune", "Nereid", "Nova", "Nyx", "Oberon", "Odysseus",
    "Orion", "Orpheus", "Pandora", "Pegasus", "Perseus", "Phobos", "Phoebe", "Phoenix", "Polaris", "Pollux",
    "Prometheus", "Proteus", "Pulsar", "Quasar", "Rhea", "Rigel", "Saturn", "Selene", "Sirius", "Solstice",
    "Stella", "Tethys", "Thalia", "Themis", "Theia", "Titan", "Titania", "Triton", "Umbra", "Umbriel",
    "Urania", "Vega", "Venus", "Vesta", "Vulcan", "Zenith", "Zephyr", "Zeus",
)  # fmt: skip


def draw_name(taken: Collection[str], random: Random) -> str:
    """A name that is not in `taken`, compared without case; numbered (`Zeus 2`) once all are taken."""
    used = {name.casefold() for name in taken}
    number = 1
    while True:
        suffix = "" if number == 1 else f" {number}"
        free = [name + suffix for name in NAMES if (name + suffix).casefold() not in used]
        if free:
            return random.choice(free)
        number += 1
