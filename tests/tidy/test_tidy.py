"""For each rule of tidy.py a text that breaks it, and one that does not."""

import tidy

FILES = {"lib/base/text.h", "proto/proto.h", "bus/client.h", "actors/feed/pages.h", "actors/users/users.h", "gateway/cors.h"}

EXPECTED = (
    (tidy.banned_functions, ('/* strcpy( */ x = "atoi(3)"; a.system(1); my_rand();',), []),
    (tidy.banned_functions, ("strcpy(a, b); if (rand () > 3) {}",), ["rand", "strcpy"]),
    (tidy.changeable_variables, ("static int x;",), ["x"]),
    (tidy.changeable_variables, ("static const char *x = 0;",), ["x"]),
    (tidy.changeable_variables, ("static struct a b[3] = {{1}, {2}};\nint f(void) { int y; return y; }\nchar *z;",), ["b", "z"]),
    (tidy.changeable_variables, ("static const char *const x = 0; const struct a b[] = {1}; static const int c;",), []),
    (tidy.changeable_variables, ("struct a { int x; }; enum b { C }; struct d; int f(int x); extern int y; typedef int z;",), []),
    (tidy.changeable_variables, ("#define A \\\n int x;\nvoid f(void) { static_assert(1, \"\"); }\nstatic_assert(1, \"\");",), []),
    (tidy.wrong_includes, ("lib/base/a.c", '#include "base/text.h"\n#include <proto/proto.h>', FILES), []),
    (tidy.wrong_includes, ("lib/base/a.c", '#include "proto/proto.h"', FILES), ["proto/proto.h"]),
    (tidy.wrong_includes, ("bus/a.c", '#include "proto/proto.h"\n#include "gateway/cors.h"', FILES), ["gateway/cors.h"]),
    (tidy.wrong_includes, ("actors/feed/a.c", '#include "pages.h"\n#include "bus/client.h"', FILES), []),
    (tidy.wrong_includes, ("actors/feed/a.c", '#include "actors/users/users.h"', FILES), ["actors/users/users.h"]),
    (tidy.wrong_includes, ("gateway/a.c", '#include "actors/feed/pages.h"', FILES), ["actors/feed/pages.h"]),
    (tidy.nginx_headers, ("gateway/cors.c", "#include <ngx_http.h>"), ["ngx_http.h"]),
    (tidy.nginx_headers, ("gateway/ngx_x.c", "#include <ngx_http.h>"), []),
    (tidy.unlisted, ("- `a.c`, `b.*`: parts", ["a.c", "b.c", "b.h", "c.c"]), ["c.c"]),
    (tidy.gone, ("- `a.c`, `b.c`: like x.c\ntext z.c\n| c.c | d |", ["a.c"]), ["b.c", "c.c"]),
    (lambda text: bool(tidy.MARKS.search(text)), ("TO" "DO: later",), True),
    (lambda text: bool(tidy.MARKS.search(text)), ('mkdtemp("/tmp/x-XXXX' 'XX")',), False),
    (lambda texts: sorted(tidy.library_users(texts)["libzmq"]), ({"a.c": "#include <zmq.h>", "b.c": "#include <czmq.h>"},), ["a.c", "b.c"]),
)


def run(results):
    for number, (rule, arguments, expected) in enumerate(EXPECTED, 1):
        found = rule(*arguments)
        results.check(f"tests/tidy/test_tidy.py, row {number}", f"expected {expected}", [found] if found != expected else [])
