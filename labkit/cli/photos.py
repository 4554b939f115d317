"""Commands for photographs: colorize files, serve a page, and the study of which picture is real."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from labkit import LabkitError
from labkit.cli.shared import app
from labkit.errors import SomeFailed

Model = Annotated[Path | None, typer.Option(help="A folder that labkit train wrote; else the starter model.")]


@app.command()
def colorize(
    photos: Annotated[
        list[Path] | None, typer.Argument(metavar="PHOTO...", help="Files and folders; folders at every depth.")
    ] = None,
    model: Model = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results; else beside each photo.")] = None,
    style: Annotated[
        str, typer.Option(help="faithful: the mean of the likely colors; vivid: one of them, rarer ones more often.")
    ] = "faithful",
    strength: Annotated[float, typer.Option(min=0, max=4, help="How strong the colors are; 0 is gray.")] = 1.0,
    hint: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y,#RRGGBB", help="A color at a pixel of the photo, or a JSON file; can be repeated."),
    ] = None,
    samples: Annotated[int, typer.Option(min=0, max=16, help="Write so many different plausible colorings.")] = 0,
    working_size: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Shorter side of a copy that the network sees, beside those of the sizes that suit it; 0: the "
            "photo's own. Default: those alone.",
        ),
    ] = None,
    format: Annotated[str, typer.Option(help="Of the results: png, jpeg or webp.")] = "png",
    quality: Annotated[int | None, typer.Option(min=1, max=100, help="Of JPEG and WebP; 95 if not given.")] = None,
    keep_gps: Annotated[bool, typer.Option("--keep-gps", help="Write where the photo was taken, too.")] = False,
    contact_sheet: Annotated[
        Path | None,
        typer.Option(
            help="Also write one picture (.png, .jpg) of all: gray, colorized, original. "
            "Without photographs it shows the five that come with scikit-image."
        ),
    ] = None,
) -> None:
    """Colorize photographs at their own size, each as NAME.colorized.png. Exit status 1 if one of them failed.

    Networks know things at the scale they were trained on, so they look at a small copy; luma stays full size. Date and
    color profile are kept.
    """
    if not photos and not contact_sheet:
        raise LabkitError("no photographs given: name one or more, or --contact-sheet FILE for the packaged ones")
    from tqdm import tqdm

    from labkit.app.files import Look, colorize_files, find_photos
    from labkit.artifacts import make_folder
    from labkit.colorizer import Colorizer
    from labkit.hints import read_hints

    look = Look(
        working_size=working_size, style=style, strength=strength, hints=read_hints(hint or []), samples=samples
    )
    colorizer = Colorizer.load(model) if model else Colorizer.starter()
    if out:
        make_folder(out)
    found = find_photos(photos or [], out, format)
    failures: dict[str, str] = {}
    sheet: list[tuple[Any, Any]] = []
    keep = (lambda original, result: sheet.append((_small(original), _small(result)))) if contact_sheet else None
    done = colorize_files(colorizer, found, look, quality=quality, gps=keep_gps, keep=keep)
    # A bar for many photographs on a terminal; in a file or a pipe it would only be noise.
    for photo, written, reason in tqdm(done, total=len(found), unit="photo", disable=None if len(found) > 2 else True):
        for path in written:
            tqdm.write(str(path))
        if reason:
            failures[str(photo.path)] = reason
    if contact_sheet:
        _write_sheet(contact_sheet, sheet, photos, lambda photo: look.apply(colorizer, photo)[0])
    if failures:
        raise SomeFailed(failures, len(found))


def _small(image: Any) -> Any:
    """Return a copy for the contact sheet: a hundred photographs of 24 megapixels would fill the memory."""
    from torchvision.transforms.v2 import functional as transforms

    from labkit.plots.sheet import SIDE

    return transforms.resize(image, [SIDE], antialias=True) if min(image.shape[-2:]) > SIDE else image


def _write_sheet(path: Path, sheet: list[tuple[Any, Any]], photos: list[Path] | None, colorize: Any) -> None:
    """Write the contact sheet of what was colorized; where no photographs were given, of the packaged ones."""
    from labkit.data import load
    from labkit.plots import contact_sheet as write_sheet

    if not photos:
        sheet = [(photo, colorize(photo)) for photo in load("photos", "test").images]
    if sheet:
        originals, results = zip(*sheet, strict=True)
        write_sheet(originals, results, path)
        print(path)


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 8765,
    host: Annotated[
        str, typer.Option(help="Address to listen at. Another than this computer's own asks visitors for a token.")
    ] = "127.0.0.1",
    model: Annotated[
        list[Path] | None, typer.Option(help="A folder that labkit train wrote; can be repeated. Beside the starter.")
    ] = None,
    study: Annotated[Path | None, typer.Option(help="A study of labkit study make, shown as study.html.")] = None,
) -> None:
    """Serve a page that colorizes photographs in the browser. Nothing is kept. Ctrl-C ends it."""
    import asyncio

    from labkit.app.server import address, make_site
    from labkit.app.server import serve as begin
    from labkit.app.study import read_study
    from labkit.app.study_server import study_rules
    from labkit.colorizer import Colorizer

    models = {folder.resolve().name: Colorizer.load(folder) for folder in model or []}
    site = make_site(models | {"starter": Colorizer.starter()}, host)

    rules = study_rules(site, read_study(study)) if study else []

    async def forever() -> None:
        _, taken = await begin(site, port, host, *rules)
        if study:
            print(f"Study: {address(host, taken, site.token, 'study.html')}", flush=True)
        print(f"Open {address(host, taken, site.token)} (Ctrl-C ends it)", flush=True)
        await asyncio.Event().wait()

    try:
        asyncio.run(forever())
    except KeyboardInterrupt:
        print("ended")


@app.command()
def score(
    model: Model = None,
    dataset: Annotated[str, typer.Option(help="Whose images; `folder` for your own.")] = "tiny-imagenet",
    split: Annotated[str, typer.Option(help="validation to choose by; test for the final score.")] = "validation",
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many images.")] = 500,
    size: Annotated[int | None, typer.Option(min=11, help="Resize them to this many pixels.")] = None,
    style: Annotated[list[str] | None, typer.Option(help="Can be repeated; all of the model's if not given.")] = None,
    working_size: Annotated[list[int] | None, typer.Option(min=0, help="As in colorize; can be repeated.")] = None,
    hints: Annotated[list[int] | None, typer.Option(min=0, max=1000, help="Simulated hints; can be repeated.")] = None,
    strength: Annotated[float, typer.Option(min=0, max=4, help="How strong the colors are.")] = 1.0,
    data_root: Annotated[Path | None, typer.Option(help="Where data sets are; else LABKIT_DATA or ./data.")] = None,
) -> None:
    """Score the colors of photographs by skill, PSNR, balanced hue accuracy and colorfulness."""
    from labkit.app.scoring import score_table
    from labkit.cli.shared import print_data
    from labkit.colorizer import Colorizer
    from labkit.data import load

    colorizer = Colorizer.load(model) if model else Colorizer.starter()
    images = load(dataset, split, limit=limit, size=size, root=data_root).images
    rows = score_table(
        colorizer,
        images,
        styles=style or colorizer.styles,
        working_sizes=working_size or [0],
        hints=hints or [0],
        strength=strength,
    )
    print_data(f"{len(images)} images of {dataset}, {split}", rows, list(rows[0]))
