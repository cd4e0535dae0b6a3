import sys

import pytest

from lib.cluster.notify import NotifyConfig, notify
from lib.errors import ClusterError, ConfigError


def test_the_summary_is_an_argument_and_no_shell_reads_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tmp_path_factory.mktemp("notify") / "told"
    program = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
    notify(NotifyConfig(command=[sys.executable, "-c", program, str(out), "run: {summary}"]), "$(rm -rf x); `y` 'z'")
    assert out.read_text() == "run: $(rm -rf x); `y` 'z'"


def test_nobody_is_told_unless_asked() -> None:
    notify(NotifyConfig(), "summary")


def test_a_command_that_fails_or_tells_nothing_is_an_error() -> None:
    with pytest.raises(ConfigError, match="tell nothing"):
        NotifyConfig(command=["true"])
    with pytest.raises(ClusterError, match="exits with 1"):
        notify(NotifyConfig(command=["false", "{summary}"]), "x")
    with pytest.raises(ClusterError, match="no-such-program"):
        notify(NotifyConfig(command=["no-such-program", "{summary}"]), "x")
