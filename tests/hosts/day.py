"""What the days of pygit2, dulwich and GitPython share: steps, each in a process of its own and through another machine."""

import os
import sys
import traceback


class Days:
    """`roots` are the directories of repositories, one for each machine; `scratch` is on the disk."""

    def __init__(self):
        self.scratch, *self.roots = sys.argv[1:]
        self.turn = 0

    def step(self, function, *args):
        """Runs `function(path of app.git, path of the scratch directory, *args)`. Fails the day when the step fails."""
        app = os.path.join(self.roots[self.turn % len(self.roots)], "app.git")
        self.turn += 1
        child = os.fork()
        if child == 0:
            try:
                function(app, self.scratch, *args)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status != 0:
            sys.exit(f"{function.__name__} through {app} failed: {status}")
