from __future__ import annotations

import os
import subprocess
import sys
import threading

from starcoder_ls.daemon.editor_watch import watch_editor


def test_the_end_of_an_editor_is_noticed_even_where_nobody_has_waited_for_it() -> None:
    editor = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    gone = threading.Event()
    watch_editor(editor.pid, gone.set)
    assert not gone.wait(0.7)
    editor.kill()  # a zombie until `wait`
    assert gone.wait(5)
    editor.wait()
    assert editor.stdin is not None
    editor.stdin.close()


def test_who_is_not_visible_here_is_not_watched() -> None:
    for nobody in (None, 0, -1, True, "7", 2**40):
        watch_editor(nobody, lambda: os._exit(9))
    assert not any(thread.name == "editor-watch" and thread.is_alive() and nobody for thread in threading.enumerate())
