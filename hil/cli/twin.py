"""``hil twin``: an emulated rig that answers as a physical one did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hil import rigfile
from hil.cli.characterize import show_progress
from hil.errors import DeviceError, RigError, UsageError
from hil.rig.oneshot import PREPARED, need, one_rig

if TYPE_CHECKING:
    from hil.rigfile import RigFile
    from hil.silicon.fit import Fit
    from hil.silicon.record import Characterization

__all__ = ["command"]


@click.command("twin")
@click.argument("rig")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Take this characterization of RIG instead of making one.",
)
@click.option("--prepare", type=click.Choice(PREPARED), help="Bring an emulated part to this state first.")
@click.option(
    "--samples",
    type=click.IntRange(5, 1000),
    default=29,
    show_default=True,
    help="Executions and connections.",
)
@click.option("--costs", help="Use this cost model instead of learning one.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to write; default: beside RIG's file.",
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
def command(
    rig: str,
    source: Path | None,
    prepare: str | None,
    samples: int,
    costs: str | None,
    folder: Path | None,
    force: bool,
) -> None:
    """Write the emulated twin of RIG: a chip profile, a cost model, and a rig file, RIG-twin.

    The element is characterized (nothing is changed), and the open knobs of its emulated profile are set so
    that the model answers the same questions alike. The file says of each knob which observation settled
    it, and which knobs are still open. docs/twin.md says how to contribute one.
    """
    from hil.silicon.fit import fit
    from hil.silicon.record import load
    from hil.silicon.twin import profile_text, rig_text, twin_name

    file = rigfile.load_rig(rig)
    into = folder or _beside(file)
    name = twin_name(file.rig)
    paths = [into / f"{name}.yaml", into / "chips" / f"{name}.yaml"]
    model_path = into / "boards" / f"{name}.yaml"
    for path in [*paths, *([] if costs else [model_path])]:
        if path.exists() and not force:
            raise UsageError(f"{path} exists", hint="--force replaces it, --folder names another place")
    seen = load(source) if source is not None else _characterize(rig, samples, prepare)
    found = fit(seen, show_progress)
    show_progress("")
    model: dict[str, object] | None = None
    why = ""
    if costs is None:
        model, why = _learn(rig, samples, seen)
    chosen = costs or (name if model is not None else _shipped_costs(file))
    rtt = None
    if model is not None:
        model["name"] = name
        learned = model["learned"]
        rtt = float(learned["rtt_ms"]) if isinstance(learned, dict) else None
    texts = {
        paths[1]: profile_text(name, seen, found),
        paths[0]: rig_text(file, name, chosen, rtt),
    }
    if model is not None:
        texts[model_path] = _costs_text(model)
    _write(texts)
    rigfile.load(paths[0])
    _say(found, list(texts), why, chosen, emulated=seen.observed.emulated)


def _beside(file: RigFile) -> Path:
    """The folder of the rig's file; for a shipped rig the project's."""
    folder = file.path.parent
    return Path("rigs") if folder.resolve() == rigfile.shipped_folder().resolve() else folder


def _characterize(rig: str, samples: int, prepare: str | None) -> Characterization:
    from hil.silicon.characterize import characterize, subject_of

    with one_rig(rig, prepare=prepare) as opened:
        need(opened, "i2c")
        return characterize(subject_of(opened), samples=samples, progress=show_progress)


def _learn(rig: str, samples: int, seen: Characterization) -> tuple[dict[str, object] | None, str]:
    """A learned cost model, or why there is none."""
    from hil.connecttime.learn import learn
    from hil.connecttime.sampler import Sampler

    try:
        with one_rig(rig) as opened:
            if opened.emulated is None and seen.state != "provisioned":
                return None, f"the element is {seen.state}: the board cannot connect with it"
            sampler = Sampler(opened)
            model = learn(sampler, samples, progress=lambda what, done: show_progress(f"{what}: {done}"))
            sampler.restore()
    except (UsageError, RigError, DeviceError) as error:
        return None, error.message
    finally:
        show_progress("")
    # What was timed on the bus itself is in the chip's profile, and better known there.
    timed = {key.partition(" |")[0] for key in seen.observed.entries if key.endswith("execution time")}
    model["chip"] = {form: row for form, row in model["chip"].items() if form not in timed}
    return model, ""


def _shipped_costs(file: RigFile) -> str:
    if file.emulation is not None:
        return file.emulation.cost_model
    return "esp8266-80mhz" if file.board.mcu == "esp8266" else "esp32-240mhz"


def _costs_text(model: dict[str, object]) -> str:
    from hil.connecttime.learn import to_yaml

    return to_yaml(model)


def _write(texts: dict[Path, str]) -> None:
    """Everything or nothing: a rig file without its profile would not load."""
    try:
        for path in texts:
            path.parent.mkdir(parents=True, exist_ok=True)
        halves = {path: path.with_suffix(".half") for path in texts}
        for path, text in texts.items():
            halves[path].write_text(text, encoding="utf-8")
        for path, half in halves.items():
            half.replace(path)
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}") from error


def _say(found: Fit, paths: list[Path], why: str, costs: str, *, emulated: bool) -> None:
    if emulated:
        click.echo("EMULATED: the twin of a model is still a prediction, nothing was measured")
    equal = found.compared - len(found.unexplained)
    click.echo(f"{equal} of {found.compared} observations are reproduced")
    for key in found.unexplained:
        click.echo(f"  not reproduced: {key}")
    settled = [knob for knob in found.knobs if not knob.open and knob.evidence]
    click.echo(f"{len(settled)} knobs settled:")
    for knob in settled:
        click.echo(f"  {knob.knob} = {knob.value}: {knob.evidence[0]}")
    still = [knob for knob in found.knobs if knob.open]
    click.echo(f"{len(still)} knobs still open: {', '.join(knob.knob for knob in still)}")
    click.echo(f"cost model not learned, {costs} taken: {why}" if why else f"cost model: {costs}")
    for path in paths:
        click.echo(path)
