import unittest

import layout


class Layout(unittest.TestCase):
    def test_every_kind_of_volume_has_its_place(self):
        self.assertEqual(layout.root("web"), "web/rootfs")
        self.assertEqual(layout.note("web@before"), "web/snaps/before/rootfs.volume")
        self.assertEqual(layout.removed(".images@0a1b"), ".images/0a1b/rootfs.removed")
        self.assertEqual([layout.shelf(top) for top in ("web", ".images", ".journal")], ["web/snaps", ".images", None])

    def test_a_note_has_a_phase_and_an_operation(self):
        self.assertEqual(layout.parse("sealed op-1"), (True, "op-1"))
        # A root that somebody else put there, such as LXC.
        self.assertEqual(layout.parse(""), (False, None))
