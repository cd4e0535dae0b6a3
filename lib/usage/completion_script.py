"""What a shell has to be told so that it completes the command line of `overnight`."""

import sys
from collections.abc import Sequence

from lib.errors import ExitCode

_BASH = r"""_overnight() {
  local line=${COMP_LINE:0:COMP_POINT} found IFS=$'\n'
  COMPREPLY=()
  for found in $("${COMP_WORDS[0]/#\~/$HOME}" --complete "$line" 2> /dev/null); do
    case $found in *' ') found=$(printf %q "${found% }")' ' ;; *) found=$(printf %q "$found") ;; esac
    COMPREPLY+=("$found")
  done
}
complete -o nospace -F _overnight overnight"""

_ZSH = r"""_overnight() {
  local found
  local -a whole begun
  for found in ${(f)"$("${words[1]/#\~/$HOME}" --complete "$LBUFFER" 2> /dev/null)"}; do
    case $found in *' ') whole+=("${found% }") ;; *) begun+=("$found") ;; esac
  done
  compset -P '*[=:]'
  compadd -S ' ' -a whole
  compadd -S '' -a begun
}
compdef _overnight overnight"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH}


def print_script(words: Sequence[str]) -> int:
    """Print the script of the shell that is named; the exit code."""
    if len(words) != 1 or words[0] not in _SCRIPTS:
        print(f"--completion: give the shell, which is one of {', '.join(_SCRIPTS)}", file=sys.stderr)
        return ExitCode.USAGE
    print(_SCRIPTS[words[0]])
    return ExitCode.DONE
