import unittest

import role


class Role(unittest.TestCase):
    def test_a_role_is_a_word(self):
        self.assertEqual(role.of({"other": "x", "role": "web-1"}), "web-1")
        self.assertEqual(role.of({}), "")
        with self.assertRaises(ValueError):
            role.of({"role": "two words"})

    def test_starts_are_counted_from_none(self):
        self.assertEqual([role.count(stored) for stored in (b"", b"7", b"seven")], [0, 7, 0])
