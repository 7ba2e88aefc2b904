#!/usr/bin/env python3
"""The rules of the house as tests. Prints what breaks them, and `N passed, M failed`."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ("lib/", "proto/", "bus/", "gateway/", "actors/", "sql/")

# Of each third-party library, what its headers look like; one .c file of ours may include them.
LIBRARIES = {
    "libzmq": r"c?zmq\w*\.h", "msgpack": r"msgpack(\.h|/.*)", "libpq": r"libpq-fe\.h|postgres_ext\.h", "libcurl": r"curl/.*",
    "libjwt": r"jwt\.h", "libargon2": r"argon2\.h", "libvips": r"vips/.*", "jansson": r"jansson\.h", "openssl": r"openssl/.*",
    "libmicrohttpd": r"microhttpd\.h", "zlib": r"zlib\.h",
}

# Folder -> what it may include beside itself. The first prefix that fits a file is its folder.
DIRECTIONS = (
    ("lib/base/", ()),
    ("lib/nginx/", ("lib/", "proto/", "bus/")),  # it drives a bus client in nginx's loop
    ("lib/", ("lib/",)),
    ("proto/", ("lib/",)),
    ("bus/ctl/", ("lib/", "proto/", "bus/", "sql/")),  # `pixbus migrate`
    ("bus/", ("lib/", "proto/")),
    ("sql/", ("lib/",)),
    ("gateway/", ("lib/", "proto/", "bus/")),
    ("actors/feed/", ("lib/", "proto/", "bus/")),
    ("actors/users/", ("lib/", "proto/", "bus/")),
    ("actors/imgproc/", ("lib/", "proto/", "bus/")),
    ("actors/store/", ("lib/", "proto/", "bus/")),
)

BANNED = ("strcpy stpcpy strcat strncat sprintf vsprintf strtok atoi atol atoll atof gets localtime gmtime ctime asctime mktime "
          "rand srand random system popen alloca tmpnam mktemp usleep").split()

# Variables of a file that may change, with the reason.
VARIABLES = {
    ("lib/base/log.c", "log_program"): "set once at the start",
    ("lib/base/log.c", "log_threshold"): "set once at the start",
}

MARKS = re.compile("|".join(("TO" "DO", "FIX" "ME", r"\bXX" r"X\b", r"\.\./" "shared", "/wo" "rk/", "bash_" "jobs")))

LISTED = re.compile(r"\.(c|h|def|sql|in|cmake|py|sh|lua)$")


def strip(text):
    """C without comments, strings and characters; as many lines as before."""
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''

    def replace(match):
        found = match.group()
        return ('""' if found[0] == '"' else "' '" if found[0] == "'" else " ") + "\n" * found.count("\n")

    return re.sub(pattern, replace, text, flags=re.S)


def banned_functions(text):
    return sorted(set(re.findall(r"(?<![\w.>])(%s)\s*\(" % "|".join(BANNED), strip(text))))


def is_constant(declaration):
    """`const int x`, `const char *const x`, but not `const char *x`."""
    return re.search(r"\bconst\b", declaration.rpartition("*")[2] if "*" in declaration else declaration) is not None


def declarations(text):
    """What stands at the top level before each ; or {, as (declaration, has an initialiser or is one)."""
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", strip(text), flags=re.M)
    depth, start = 0, 0
    body = False  # of a function or a type, that no ; closes as a variable
    for at, c in enumerate(text):
        if c == "{":
            if depth == 0:
                head = text[start:at]
                body = "=" not in head
                if not body:
                    yield head
            depth += 1
        elif c == "}":
            depth -= 1
            if depth == 0 and body:
                start = at + 1
        elif c == ";" and depth == 0:
            if body or "{" not in text[start:at]:
                yield text[start:at]
            start, body = at + 1, False


def changeable_variables(text):
    """Names of the variables of a file that are not constant."""
    names = []
    for declaration in declarations(text):
        head = re.sub(r"\[\[.*?\]\]|__attribute__\s*\(\(.*?\)\)", "", declaration.partition("=")[0], flags=re.S).strip()
        match = re.search(r"(\w+)\s*(\[[^;]*\])?$", head)
        if (not match or "(" in head or re.match(r"(typedef|extern|_Static_assert|static_assert|return)\b", head)
                or re.fullmatch(r"(struct|enum|union)\s+\w+", head) or len(head.split()) < 2):
            continue
        if not is_constant(head[:match.start(1)]):
            names.append(match.group(1))
    return names


def includes(text):
    """(name, whether in quotes) of each #include."""
    return [(name, mark == '"') for mark, name in re.findall(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)', text, flags=re.M)]


def resolve(path, name, files):
    """The file of ours that an include in quotes names."""
    for candidate in (f"{path.rpartition('/')[0]}/{name}", name, f"lib/{name}"):
        if candidate in files:
            return candidate
    return None


def wrong_includes(path, text, files):
    folder, allowed = next(((f, a) for f, a in DIRECTIONS if path.startswith(f)), (None, None))
    if folder is None:
        return ["its folder has no rule in DIRECTIONS"]
    targets = [(name, resolve(path, name, files)) for name, quoted in includes(text) if quoted]
    return [name for name, target in targets if target is not None and not target.startswith((folder, *allowed))]


def library_users(texts):
    """Library -> the files that include its headers."""
    users = {library: set() for library in LIBRARIES}
    for path, text in texts.items():
        for name, quoted in includes(text):
            for library, pattern in LIBRARIES.items():
                if not quoted and re.fullmatch(pattern, name):
                    users[library].add(path)
    return users


def nginx_headers(path, text):
    name = path.rpartition("/")[2]
    return [] if name.startswith("ngx_") else [header for header, quoted in includes(text) if re.match(r"ngx_", header) and not quoted]


def unlisted(readme, names):
    """Files that a README does not name, by name or as `stem.*`."""
    said = set(re.findall(r"[\w.*-]+", readme))
    return [name for name in names if name not in said and name.rpartition(".")[0] + ".*" not in said]


def gone(readme, names):
    """Files that a README's list names and that are not there."""
    listed = [word for line in readme.splitlines() if re.match(r"\s*(-|\|) ?`?[\w.]+\.\w", line)
              for word in re.findall(r"(?<![\w/.*])\w+\.(?:c|h|def|sql)\b", re.split(r":|\|", line.lstrip("| "))[0])]
    return [name for name in listed if name not in names]


class Results:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, where, rule, found):
        """`found`: what breaks the rule there."""
        if found:
            self.failed += 1
            print(f"{where}: {rule}: {', '.join(map(str, found))}")
        else:
            self.passed += 1


def check_tree(files, texts, results):
    code = {path: text for path, text in texts.items() if path.startswith(CODE) and path.endswith((".c", ".h"))}
    for path, text in code.items():
        results.check(path, "includes against the direction", wrong_includes(path, text, files))
        results.check(path, "functions that are banned", banned_functions(text))
        results.check(path, "nginx's headers outside ngx_ files", nginx_headers(path, text))
        if not path.rpartition("/")[2].startswith("ngx_"):  # nginx's own structures are not constant
            variables = [name for name in changeable_variables(text) if (path, name) not in VARIABLES]
            results.check(path, "variables of a file that are not constant", variables if path.endswith(".c") else [])
    for library, users in library_users(code).items():
        wrong = sorted(users) if len(users) > 1 or any(path.endswith(".h") for path in users) else []
        results.check(library, "is included by more than one .c file", wrong)
    for path, text in texts.items():
        marks = [f"line {number}" for number, line in enumerate(text.splitlines(), 1) if MARKS.search(line)]
        results.check(path, "unfinished marks, or paths of a machine", marks)
    for folder in sorted({path.rpartition("/")[0] for path in code} | {"tests/tidy"}):
        readme = texts.get(f"{folder}/README.md")
        names = {path.rpartition("/")[2] for path in files if path.rpartition("/")[0] == folder}
        if readme is None:
            results.check(folder, "has no README.md", ["README.md"])
            continue
        results.check(f"{folder}/README.md", "does not list", unlisted(readme, sorted(n for n in names if LISTED.search(n))))
        results.check(f"{folder}/README.md", "lists what is not there", gone(readme, names))


def main():
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z", "-co", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    files = {path for path in listed if path and (ROOT / path).is_file()}
    texts = {}
    for path in sorted(files):
        try:
            texts[path] = (ROOT / path).read_text()
        except UnicodeDecodeError:
            pass  # images and seeds
    corpus = {path for path in texts if "/corpus/" in path}
    results = Results()
    import test_tidy
    test_tidy.run(results)
    check_tree(files, {path: text for path, text in texts.items() if path not in corpus}, results)
    print(f"{results.passed} passed, {results.failed} failed")
    return results.failed > 0


if __name__ == "__main__":
    sys.modules["tidy"] = sys.modules["__main__"]
    sys.exit(main())
