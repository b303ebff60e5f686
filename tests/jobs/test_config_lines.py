"""On which line a key of a TOML file stands."""

import tomllib

from jobs.toml_lines import locate

TEXT = """# crf = 1
crf = 2

[[folder]] # first
path = "a"
on_done = [
  "path = 1",  # no key
]
note = '''
[[folder]]
path = "in a text"
'''
codec = "auto"
[[folder]]
path = "b"
[table.deep]
"key with dots. and spaces" = { a = "]" } # [[folder]]
bare = [ { x = 1 }, # "
  { y = 2 } ]
more = \"\"\"a\"\" \\\"\"\"b
last = 1\"\"\"\"\"
last = "\\"[" # '
"""


def test_every_key_and_table_is_found_where_it_begins() -> None:
    tomllib.loads(TEXT)
    assert locate(TEXT) == {
        ("crf",): 2,
        ("folder", 0): 4,
        ("folder", 0, "path"): 5,
        ("folder", 0, "on_done"): 6,
        ("folder", 0, "note"): 9,
        ("folder", 0, "codec"): 13,
        ("folder", 1): 14,
        ("folder", 1, "path"): 15,
        ("table",): 16,
        ("table", "key with dots. and spaces"): 17,
        ("table", "bare"): 18,
        ("table", "more"): 20,
        ("table", "last"): 22,
    }


def test_windows_line_ends_count_as_one() -> None:
    assert locate("\r\na = 1\r\n[[folder]]\r\npath = 'x'\r\n") == {
        ("a",): 2,
        ("folder", 0): 3,
        ("folder", 0, "path"): 4,
    }
