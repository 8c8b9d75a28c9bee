"""Where a run is written: what may be there, and what a run that hasn't ended keeps there."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyro_vae.atomic_files import written_whole
from pyro_vae.checksums import file_sha256, sealed
from pyro_vae.experiment.manifest import manifest_of, read_manifest
from pyro_vae.experiment.run_files import MANIFEST, files_of, require_writable
from pyro_vae.experiment.writing import Writing
from pyro_vae.saved_files import SPEC, UNFINISHED, WEIGHTS
from pyro_vae.saving import read_run, require_free


@dataclass(frozen=True)
class Target:
    """The folder of a run.

    While the run hasn't ended, `unfinished/` in it has the complete description and the checkpoint;
    a former run that is replaced stays as it was until the new model is trained. The last file of a
    run is its manifest.

    Attributes:
        folder: the folder.
        overwrite: whether a former run may be replaced.
        resume: whether a run that hasn't ended goes on.
    """

    folder: Path
    overwrite: bool = False
    resume: bool = False

    @property
    def unfinished(self) -> Path:
        """The folder with all that the run needs to go on."""
        return self.folder / UNFINISHED

    @property
    def checkpoint(self) -> Path:
        """The state of the training."""
        return self.unfinished / "checkpoint.safetensors"

    @property
    def evaluation(self) -> Path | None:
        """The rows that the evaluation has done; None for a process without the folder."""
        here = self.unfinished
        return here / "evidence.safetensors" if here.is_dir() else None

    @property
    def continues(self) -> bool:
        """Whether there is a run to go on with, and that is asked for."""
        return self.resume and self.checkpoint.exists()

    @property
    def has_ended(self) -> bool:
        """Whether the run that is to go on is complete; one that may be replaced isn't asked."""
        if not self.resume or self.overwrite or self.checkpoint.exists():
            return False
        digest = read_manifest(self.folder).get(SPEC)
        spec = self.folder / SPEC
        return digest is not None and spec.exists() and file_sha256(spec) == digest

    def require_free(self) -> None:
        """Raise ValueError where a run would be replaced unasked, or nothing can be written."""
        folder = self.folder
        if self.checkpoint.exists():
            if not self.resume and not self.overwrite:
                raise ValueError(
                    f"{folder}: holds a run that has not ended; continue it (resume=True), or "
                    "replace it (overwrite=True)"
                )
        elif not self.has_ended:
            require_free(folder, overwrite=self.overwrite)
            files = files_of(folder)
            if files and not self.overwrite:
                names = ", ".join(file.name for file in files)
                raise ValueError(
                    f"{folder}: holds {names}; choose another folder, or overwrite them "
                    "(overwrite=True)"
                )
        files_of(folder)
        require_writable(folder / SPEC)

    def begin(self, description: Mapping[str, Any]) -> None:
        """Write the description of a new run; one that was killed and is replaced is forgotten."""
        if self.continues:
            return
        self.forget()
        self.unfinished.mkdir(exist_ok=True)
        text = json.dumps(sealed(description), indent=2) + "\n"
        with written_whole(self.unfinished / SPEC) as draft:
            draft.write_text(text, encoding="utf-8")

    def replace_former(self) -> None:
        """Remove the files of a run that is replaced, its manifest first: it is not whole now."""
        for file in reversed(files_of(self.folder)):
            file.unlink(missing_ok=True)

    def end(self, writing: Writing) -> None:
        """Write the SHA-256 of each file, and forget how the run came to be.

        A run of which the disk didn't take all files has not ended.
        """
        if writing.lacks_room:
            return
        files = [self.folder / SPEC, self.folder / WEIGHTS, *files_of(self.folder)]
        text = manifest_of(files)
        writing.attempt(MANIFEST, lambda path: path.write_text(text, encoding="utf-8"))
        if MANIFEST not in writing.failed:
            self.forget()

    def forget(self) -> None:
        """Remove what only a run that hasn't ended needs: the checkpoint first."""
        self.checkpoint.unlink(missing_ok=True)
        shutil.rmtree(self.unfinished, ignore_errors=True)

    def forget_where_nothing_was_saved(self) -> None:
        """The same, where the run ended before its first checkpoint."""
        if not self.checkpoint.exists():
            self.forget()

    def require_same(self, description: Mapping[str, Any]) -> None:
        """Raise ValueError where the folder holds a complete run of another description."""
        asked = {**description["model"], **description["run"]}
        for name, before in read_run(self.folder).items():
            now = asked.get(name)
            if name in ("versions", "source_path") or now == before:
                continue
            if isinstance(before, dict) and isinstance(now, dict):
                changed = [key for key in before if before[key] != now.get(key)]
                if not changed:  # an option that is newer than the run
                    continue
                name = f"{name}.{changed[0]}"
                before, now = (table.get(changed[0]) for table in (before, now))
            raise ValueError(
                f"{self.folder}: holds a run that has ended: {name} was {before}, and is {now}; "
                "take what was taken there, choose another folder, or overwrite it "
                "(overwrite=True)"
            )


def home_of(folder: str | os.PathLike[str] | None, name: str) -> Path:
    """The folder of a run, by default of that name in `runs`."""
    if folder is None:
        return Path("runs") / name
    home = Path(os.path.expanduser(folder))
    leads_nowhere = home.is_symlink() and not home.exists()
    return home.resolve() if home.name in ("", "..") or leads_nowhere else home
