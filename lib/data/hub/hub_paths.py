"""hf:// URLs: files on the Hugging Face hub, read at one commit of their repository, however long a run takes."""

import re
from typing import Any

SCHEME = "hf://"
_REVISION = re.compile(r"^((?:hf://)?(?:(?:datasets|models|spaces)/)?[^/@]+/[^/@]+)@(?:refs/[^/]+/[^/]+|[^/]+)")
_TOKEN = "log in with `hf auth login`, or set HF_TOKEN, on every machine that has a worker"


def pinned(url: str) -> str:
    """An hf:// URL with the commit that its revision means now; one of a bucket, which has no commits, as it is.

    Raises OSError where there is no such repository or revision, or where this user may not read it; and what
    huggingface_hub raises where the hub can't be reached.
    """
    import fsspec
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    fs: Any = fsspec.filesystem("hf")
    try:
        found = fs.resolve_path(url)
        if not hasattr(found, "repo_type"):
            return url
        commit = HfApi().repo_info(found.repo_id, repo_type=found.repo_type, revision=found.revision).sha
    except (FileNotFoundError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        why = error.__cause__ if type(error) is FileNotFoundError and error.__cause__ else error
        if isinstance(why, GatedRepoError):
            raise OSError(f"its owner gives access on request: ask for it on its page, and {_TOKEN}") from error
        if isinstance(why, RevisionNotFoundError):
            raise OSError("the repository has no such revision: a branch, a tag or a commit, as in @main") from error
        raise OSError(f"there is no such repository, or it is private: then {_TOKEN}") from error
    kind = "" if found.repo_type == "model" else f"{found.repo_type}s/"
    return f"{SCHEME}{kind}{found.repo_id}@{commit}/{found.path_in_repo}"


def without_revision(path: str) -> str:
    """A path or URL on the hub without the revision in it: what tells a file of a repository from its others."""
    return _REVISION.sub(r"\1", path)
