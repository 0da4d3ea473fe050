import os
import unittest

import files


class Files(unittest.TestCase):
    def test_what_is_in_a_directory_comes_after_it(self):
        seen = {"/"}
        for path, _ in files.DIRECTORIES:
            self.assertIn(os.path.dirname(path), seen)
            seen.add(path)
        others = [files.BUSYBOX, *files.NAMES, *(path for path, _ in files.texts("web", "hello"))]
        for path in others:
            self.assertIn(os.path.dirname(path), seen)

    def test_names_are_filled_in(self):
        texts = dict(files.texts("web", "hello"))
        self.assertEqual((texts["/etc/hostname"], texts["/etc/motd"]), ("web\n", "hello\n"))
