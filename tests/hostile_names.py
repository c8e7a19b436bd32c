"""What a name would have to be to become a command, a path elsewhere, a terminal's order or a page's script."""

SHELL = [
    "$(touch X)",
    "`touch X`",
    "a;touch X",
    "a|touch X",
    "a&touch X&",
    "a\ntouch X",
    "a' ;touch X '",
    'a";touch X "',
    ">X",
]
PATHS = ["..", "../a", "a..b/../..", "/a", "-rf", "--help", "~root", ".hidden"]
TERMINAL = ["a\x1b[2Jb", "a\rb", "a\tb", "a\u202eb", "a\u200bb", "a\x00b"]
PAGES = ["<script>alert(1)</script>", "{{7*7}}", "a{b}"]
LONG = ["", " ", "a" * 300]
HOSTILE = [*SHELL, *PATHS, *TERMINAL, *PAGES, *LONG]
ODD = ["top camera", "观测.图像", "Kamera-größe", "cam@0,left", "a=b+c~d", "카메라", "कैमरा"]  # and no more than odd
