"""A template: a small system of one static program. The functions stand in wit/deps/template/template.wit."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.wxc_host_types import Error, ErrorKind, Pair
from wit_world.imports.wxc_template_types import (
    Assembly_Empty,
    Finished,
    Given,
    Manifest,
    Node_Directory,
    Node_File,
    Node_Given,
    Node_Symlink,
    Parameter,
    ParameterKind_File,
    ParameterKind_Text,
    Rendered,
)

import files

# The parameter for the program. [inputs.program] of plugin.toml says where it is when the user says nothing.
PROGRAM = "program"
GREETING = "greeting"


class Template(exports.Template):
    def options(self):
        program = "A busybox that needs no libraries; this machine's unless told"
        return [
            Parameter(PROGRAM, ParameterKind_File(), program, None, False, False),
            Parameter(GREETING, ParameterKind_Text(), "What /etc/motd says", "Welcome", False, False),
        ]

    def search(self, request, limit):
        """There is one system, and no catalogue to search."""
        return []

    def resolve(self, request):
        if PROGRAM not in answers(request):
            message = (
                "this machine has no busybox: install one that needs no libraries (Debian: busybox-static), "
                "or say with --program where it is"
            )
            raise Err(Error(ErrorKind.INVALID, message))
        return Manifest("@WORD@", "", request.architecture, None, None, Assembly_Empty())

    def finish(self, moment, request, manifest, members):
        # What busybox's init understands as "halt" and "reboot". Only settings of the host's list are taken.
        settings = [Pair("stop.halt", '"SIGUSR1"'), Pair("stop.reboot", '"SIGTERM"')]
        greeting = answers(request).get(GREETING, "")
        return Finished(settings, rendered(request.container, greeting), [], None, None)


def answers(request):
    return {answer.name: answer.value for answer in request.answers}


def rendered(container, greeting):
    """All files of the root, each after the directory that it is in."""
    # The host puts the file there that the user, or the machine, has given: its path is never seen here.
    program = Node_Given(Given(PROGRAM, ""))
    rows = [(path, Node_Directory(), mode) for path, mode in files.DIRECTORIES]
    rows += [(files.BUSYBOX, program, 0o755)]
    rows += [(path, Node_Symlink(files.BUSYBOX), 0o777) for path in files.NAMES]
    rows += [(path, Node_File(text.encode()), 0o644) for path, text in files.texts(container, greeting)]
    return [Rendered(path, node, mode, 0, 0, False) for path, node, mode in rows]
