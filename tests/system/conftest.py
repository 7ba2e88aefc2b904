"""Fixtures: one whole system that the contract's tests share, and others that a test may break."""

import pytest

from api import Api
from system import BUILD, System

SHARED = pytest.StashKey()


def pytest_sessionstart():
    if not (BUILD / "bin/pixbus").exists():
        pytest.exit(f"{BUILD} holds no bin/pixbus: build it, or name another build directory in PIXBUS_BUILD", returncode=2)


@pytest.fixture(scope="session")
def shared(request):
    """The system that every test may use and none may harm."""
    system = System()
    system.start()
    request.config.stash[SHARED] = system
    try:
        yield system
        system.drain()
        system.check_log()
    except BaseException:
        system.keep = True
        raise
    finally:
        system.destroy()


@pytest.fixture(scope="session")
def api(shared):
    """A client of the shared system, nobody signed in."""
    with Api(shared) as client:
        yield client


@pytest.fixture(scope="session")
def alice(api):
    with api.new_user("alice") as client:
        yield client


@pytest.fixture(scope="session")
def bob(api):
    with api.new_user("bob") as client:
        yield client


@pytest.fixture
def make_system():
    """Start a system of one's own: make_system(settings={…}, replicas="feed=2"). It is gone after the test."""
    systems = []

    def make(**options):
        system = System(**options)
        systems.append(system)
        system.start()
        return system

    yield make
    for system in systems:
        system.destroy()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    system = item.config.stash.get(SHARED, None)
    item.stash[SHARED] = len(system.log()) if system is not None else 0
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows what the system logged meanwhile, and keeps the directory of a system that the test started."""
    report = yield
    if report.failed:
        system = item.config.stash.get(SHARED, None)
        if system is not None:
            report.sections.append(("log of the shared system", system.log_tail(item.stash[SHARED])))
            system.keep = True
    return report
