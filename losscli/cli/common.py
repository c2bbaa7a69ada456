"""What the verbs share: sources and options from the command line to the types of the library."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import typer

from losscli.cli.exits import emit
from losscli.cli.options import SETTINGS, Group, Option
from losscli.dialects import like
from losscli.engines import Engine, engine
from losscli.errors import UsageError
from losscli.files import gather, open_source, write_whole
from losscli.files.source import Source
from losscli.inputs import IDENTITY, LABEL, Signature
from losscli.loss import Loss, catalogue, get
from losscli.plan import How


def output_options(quiet: str = "", *, judged: bool = False) -> list[Option]:
    """Options about how a result is written; ``quiet`` tells what -q leaves of it, ``judged`` that it is a verdict."""
    silent = [Option("quiet", bool, False, quiet, words=("-q", "--quiet"))] if quiet else []
    cases = [Option("junit", str, None, "Write test cases to FILE, too, as JUnit XML.", metavar="FILE")]
    return [
        Option("json", bool, False, "Print one JSON object: short for --format json."),
        Option("format", str, "table", "The form of the output.", choices=("table", "json")),
        Option("output", str, None, "Write the output to FILE.", metavar="FILE", words=("-o", "--output")),
        *(cases if judged else []),
        *silent,
        Option("color", str, "auto", "When to colour a table.", choices=("auto", "always", "never")),
        Option("debug", bool, False, "Print a traceback when losscli itself fails."),
    ]


def wrt_option(loss: Loss, default: str | None, text: str) -> Option:
    """What slopes are taken by: the inputs that have some, and labels where soft ones have."""
    labels = (loss.reads.labels,) if loss.reads.expected else ()
    slopes, hint = (*loss.reads.differentiable, *labels), ""
    if loss.dialect is not None:
        own = [name for name in get(loss.name).reads.differentiable if name in loss.reads.names and name not in slopes]
        hint = f"without --like {loss.dialect.peer} it has slopes by {', '.join(own)}, too" if own else ""
    return Option("wrt", str, default, text, choices=slopes, hint=hint)


def engine_options() -> list[Option]:
    """Options about who works on the blocks of rows."""
    return [
        Option("threads", int, None, "Threads or processes; one per processor unless said otherwise.", least=1),
        Option(
            "engine",
            str,
            "processes",
            "Who works on blocks of rows: processes are for large data, and threads where they are small or the system"
            " makes no copies of itself; dask starts a cluster on this machine. The answer has the same bits.",
            choices=("serial", "threads", "processes", "dask"),
        ),
        Option("scheduler", str, None, "The Dask cluster to use, such as tcp://host:8786.", metavar="ADDRESS"),
        Option("workers", int, 2, "Worker processes of a Dask cluster on this machine.", least=1),
        Option("batch", int, 64, "Blocks of 1 MB in one task of a Dask cluster.", metavar="BLOCKS", least=1),
        Option(
            "resume",
            str,
            None,
            "Keep what is finished in FILE, and go on from there if the same job was cut off before.",
            metavar="FILE",
        ),
    ]


@contextmanager
def engine_of(options: Mapping[str, Any]) -> Iterator[Engine]:
    """The engine that was asked for, and its workers for as long as they are needed."""
    if not on_cluster(options):
        yield engine(options["engine"], options["threads"])
        return
    from losscli.cluster import cluster

    with cluster(options["scheduler"], workers=options["workers"], batch=options["batch"]) as made:
        yield made


def on_cluster(options: Mapping[str, Any]) -> bool:
    """Whether other processes do the work."""
    return options["engine"] == "dask" or options["scheduler"] is not None


def group_of(name: str, text: str) -> typer.Typer:
    """A verb whose subcommands are the losses."""
    group = typer.Typer(name=name, cls=Group, help=text, context_settings=SETTINGS, rich_markup_mode=None)
    group.callback()(lambda: None)
    return group


def losses_of(words: Sequence[str]) -> dict[str, Loss]:
    """The one loss that is named after the verb, under that name, or the whole catalogue for its help.

    With --linear among the words it is the loss behind a linear head, whose inputs and options are others; with --like,
    the loss in a dialect, whose defaults are others.
    """
    if not words or words[0].startswith("-"):
        return dict(catalogue())
    loss = get(words[0])
    peer = value_of("--like", words)
    if peer:
        # A dialect is one of scores: before the head that makes them.
        loss = like(loss, peer)
    return {words[0]: loss.linear if "--linear" in words else loss}


def value_of(option: str, words: Sequence[str]) -> str:
    """The last value of an option among the words, before Typer reads them; empty: it is not there."""
    found = ""
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word == option:
            found = following
        elif word.startswith(f"{option}="):
            found = word.partition("=")[2]
    return found


def read_inputs(
    signature: Signature, data: Sequence[str], options: Mapping[str, Any], *aside: str | None
) -> dict[str, Source]:
    """The sources of a loss's inputs; ``aside`` are the specs of weights and masks, which share standard input."""
    if sum(spec is not None and spec.partition("::")[0] == "-" for spec in (*data, *aside)) > 1:
        message = "'-' stands twice, and standard input can be read once"
        raise UsageError("stdin-twice", message, hint="put one of them in a file")
    text = [entry.name for entry in signature.inputs if _may_be_text(entry.name, signature)]
    dtype, id_col = options.get("dtype") or "", options.get("id_col") or ""
    optional = [entry.name for entry in signature.inputs if entry.optional]
    return gather(list(data), signature.names, optional=optional, text=text, dtype=dtype, id_col=id_col)


def _may_be_text(name: str, signature: Signature) -> bool:
    # Names are turned into numbers through --classes or the header, wherever classes are known.
    return signature.entry(name).domain in (LABEL, IDENTITY) or ("classes" in signature.options and name == "target")


def how_of(loss: Loss, options: Mapping[str, Any]) -> How:
    """The shared options as the library's type."""
    classes, signature, ignored = options.get("classes"), loss.reads, options.get("ignore_index")
    if ignored is None and loss.dialect is not None:
        ignored = loss.dialect.ignore_index
    return How(
        link=options.get("link") or signature.default_link,
        class_axis=options.get("class_axis", 1),
        classes=tuple(name.strip() for name in classes.split(",")) if classes else (),
        class_weight=_class_weight(options),
        label_smoothing=options.get("label_smoothing", 0.0),
        ignore_index=ignored,
        zero_one_labels=options.get("labels") == "01",
    )


def _class_weight(options: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Weights written out, a,b,c, or a source of them."""
    given = options.get("class_weight")
    if given is None:
        return None
    try:
        return np.array([float(word) for word in given.split(",")])
    except ValueError:
        if "," in given and not Path(given).exists():
            message = f"--class-weight must be numbers a,b,c or a source, not {given!r}"
            raise UsageError("class-weight", message) from None
        source = source_of(options, "class_weight")
        assert source is not None
        return np.asarray(source.array, dtype=np.float64).reshape(-1)


def aside_of(options: Mapping[str, Any]) -> list[str | None]:
    """The specs of weights and masks."""
    return [options.get(name) for name in ("sample_weight", "mask", "class_weight")]


def source_of(options: Mapping[str, Any], name: str) -> Source | None:
    """The source of a weight or a mask, if one was given."""
    spec = options.get(name)
    return None if spec is None else open_source(spec, dtype=options.get("dtype") or "")


def write_judged(text: str, cases: Callable[[], bytes], options: Mapping[str, Any]) -> None:
    """A verdict as ``write`` does, and its test cases whole into the file of --junit: both, or neither."""
    if options["junit"] is None:
        write(text, options)
        return
    with write_whole(options["junit"]) as stream:
        stream.write(cases())
        write(text, options)


def write(text: str, options: Mapping[str, Any]) -> None:
    """The result to standard output, or whole into the file of -o."""
    # Opened by its name, a redirected standard output would be truncated.
    if options["output"] not in (None, "-", "/dev/stdout"):
        with write_whole(options["output"]) as stream:
            stream.write((text if text.endswith("\n") else text + "\n").encode())
    else:
        emit(text)


def rerun(verb: str, words: Sequence[str]) -> str:
    """The command that does the same again, without the options about the form of the output."""
    kept = [word for word in words if word not in ("--json", "-q", "--quiet", "--debug")]
    return f"losscli {verb} {shlex.join(kept)}"


def verdict_text(verb: str, headline: str, about: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """The answer of a verifier's verb: JSON, its headline alone, or tables."""
    if as_json(options):
        from losscli.documents import document

        return document(verb, about)
    if options["quiet"]:
        return headline
    from losscli import render

    tables = render.verify_tables if verb == "verify" else render.check_tables
    return render.text_of(*tables(headline, about), color=options["color"])


def as_json(options: Mapping[str, Any]) -> bool:
    """Whether JSON was asked for."""
    return bool(options["json"]) or options["format"] == "json"


def outputs_of(options: Mapping[str, Any]) -> list[str]:
    """The files that a verdict is written to."""
    return [*filter(None, [options["output"], options["junit"]])]


def distinct_files(read: Iterable[str | None], written: Sequence[str]) -> None:
    """Refuse to write a result over the data it comes from, or over another result."""
    files = [spec.partition("::")[0] for spec in read if spec is not None]
    for at, path in enumerate(written):
        if any(_same(path, other) for other in files):
            raise UsageError("output-is-input", f"{path} is both data and output", hint="name another file")
        if any(_same(path, other) for other in written[:at]):
            raise UsageError("output-twice", f"{path} is named for two outputs", hint="give each its own file")


def _same(path: str, other: str) -> bool:
    one, two = Path(path), Path(other)
    # Two results may well go to one pipe.
    regular = not one.exists() or one.is_file()
    return regular and (one.resolve() == two.resolve() or (one.exists() and two.exists() and one.samefile(two)))
