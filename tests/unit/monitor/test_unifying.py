"""One exception as several SDKs say it, each in its own way, is one issue; what one of them merges stays apart."""

import traceback
from concurrent.futures import process
from datetime import UTC, datetime
from typing import Any

import pytest
from souk.client._monitor_report import error_report
from souk_monitor import stack_text
from souk_monitor.decoding import native
from souk_monitor.events import Event, ExceptionInfo, Frame, Level, Source
from souk_monitor.grouping import find, group
from souk_monitor.in_app import NO_RULES

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def event(platform: str, *exceptions: ExceptionInfo, **fields: Any) -> Event:
    return Event("0" * 32, NOW, Source.SENTRY, platform=platform, exceptions=exceptions, **fields)


def printed(platform: str, kind: str, message: str, text: str) -> Event:
    """As OpenTelemetry sends it: with the text of its stack, which may have its causes."""
    *causes, last = stack_text.parse(text, platform)
    return event(platform, *causes, ExceptionInfo(kind, message, last.module, last.frames))


def alike(*events: Event) -> bool:
    return len({group(each).fingerprint for each in events}) == 1


def parts(told: Event) -> tuple[str, ...]:
    return find(told, NO_RULES).parts


ORDER = Frame("place", "shop.orders", "shop/orders.py", "/srv/app/shop/orders.py", in_app=True)


class TestPython:
    @pytest.mark.parametrize(
        "path",
        ["/usr/lib/python3.11/json/encoder.py", "/usr/local/lib/python3.13/json/encoder.py", r"C:\Python311\Lib\json\encoder.py"],
    )
    def test_the_standard_library_is_none_of_the_programs_whatever_the_sdk_says(self, path: str) -> None:
        """Sentry's SDK says so of all that is below the working directory, which may be /."""
        library = Frame("encode", "json.encoder", "json/encoder.py", path, in_app=True)
        assert parts(event("python", ExceptionInfo("TypeError", frames=(ORDER, library)))) == ("TypeError", "shop/orders\tplace")

    def test_a_library_that_the_program_includes_is_of_the_program(self) -> None:
        path = "/srv/venv/lib/python3.11/site-packages/shop_core/tax.py"
        own = Frame("tax", "shop_core.tax", "shop_core/tax.py", path, in_app=True)
        assert parts(event("python", ExceptionInfo("TypeError", frames=(ORDER, own))))[1:] == (
            "shop/orders\tplace",
            "shop_core/tax\ttax",
        )

    @pytest.mark.parametrize("kind", ["_RemoteTraceback", "multiprocessing.pool.RemoteTraceback"])
    def test_what_failed_in_a_worker_process_is_told_by_its_traceback_there(self, kind: str) -> None:
        def work(function: str) -> Event:
            there = (
                "Traceback (most recent call last):\n"
                '  File "/usr/lib/python3.11/concurrent/futures/process.py", line 256, in _process_worker\n    r = call()\n'
                f'  File "/srv/app/shop/work.py", line 7, in {function}\n    return 1 // 0\n'
                "ZeroDivisionError: integer division or modulo by zero\n"
            )
            remote = ExceptionInfo(kind, str(process._RemoteTraceback(f'\n"""\n{there}"""')))
            return event("python", remote, ExceptionInfo("ZeroDivisionError", "by zero", frames=(ORDER,)))

        assert parts(work("resize")) == ("ZeroDivisionError", "shop/work\tresize")
        assert not alike(work("resize"), work("rotate"))

    def test_a_remote_traceback_that_is_none_stays_as_it_is(self) -> None:
        remote = ExceptionInfo("_RemoteTraceback", "lost")
        assert parts(event("python", remote, ExceptionInfo("KeyError", frames=(ORDER,)))) == ("KeyError", "shop/orders\tplace")

    def test_members_count_where_nothing_wraps_the_group_and_not_below_a_wrapper(self) -> None:
        """There Sentry's SDK does not send them."""
        group_ = {"frames": (ORDER,), "is_group": True}
        member = ExceptionInfo("KeyError", frames=(ORDER,), exception_id=2, parent_id=1)
        wrapped = ExceptionInfo("ShopError", frames=(ORDER,), exception_id=0)
        whole = event("python", member, ExceptionInfo("ExceptionGroup", exception_id=1, parent_id=0, **group_), wrapped)
        assert alike(whole, event("python", ExceptionInfo("ExceptionGroup", frames=(ORDER,)), wrapped))
        alone = event("python", member, ExceptionInfo("ExceptionGroup", exception_id=1, **group_))
        assert parts(alone) == ("KeyError", "shop/orders\tplace")

    def test_the_number_of_members_is_no_part_of_a_message(self) -> None:
        """Sentry's SDK leaves it out."""
        texts = ["inner", "inner (2 sub-exceptions)", "inner (1 sub-exception)"]
        assert alike(*(event("python", ExceptionInfo("ExceptionGroup", text)) for text in texts))

    def test_the_client_calls_functions_as_tracebacks_do(self) -> None:
        def fail() -> None:
            raise KeyError("x")

        fail.__code__ = fail.__code__.replace(co_name="top-level template code", co_qualname="<module>")  # as Jinja makes them
        try:
            fail()
        except KeyError as error:
            report = error_report(error)
            text = "".join(traceback.format_exception(error))
        assert report.exceptions[-1].frames[-1].function == "top-level template code"
        assert alike(native.event(report, NOW), printed("python", "KeyError", "x", text))

    def test_of_a_long_chain_the_client_sends_what_failed_and_what_the_program_saw(self) -> None:
        def fail(depth: int) -> None:
            try:
                if not depth:
                    raise OSError("disk")
                fail(depth - 1)
            except Exception as error:
                raise ValueError(str(depth)) from error

        with pytest.raises(ValueError) as raised:
            fail(120)
        report = error_report(raised.value)
        assert [report.exceptions[0].type, report.exceptions[-1].value] == ["OSError", "120"]
        assert len(report.exceptions) == 50


MAIN, HANDLE, BUY = (Frame(name, "main", "", "/srv/shop/main.go") for name in ("main", "handle", "buy"))
GOROUTINE = (
    "goroutine 1 [running]:\nmain.buy(...)\n\t/srv/shop/main.go:20\nmain.handle()\n\t/srv/shop/main.go:12 +0x5f\n"
    "main.main()\n\t/srv/shop/main.go:30 +0x1d\n"
)


def go(kind: str, message: str, *frames: Frame) -> Event:
    return event("go", ExceptionInfo(kind, message, frames=frames or (MAIN, HANDLE, BUY)))


class TestGo:
    @pytest.mark.parametrize(
        "library",
        [
            Frame("HandlerFunc.ServeHTTP", "net/http", "", "net/http/server.go", in_app=False),
            Frame("Retry", "github.com/x/backoff/v5", "", "/go/pkg/mod/github.com/x/backoff/v5@v5.0.3/retry.go", in_app=True),
            Frame("Retry", "github.com/x/backoff/v5", "", "github.com/x/backoff/v5@v5.0.3/retry.go", in_app=False),
        ],
        ids=["standard library", "of a module", "of a module, with -trimpath"],
    )
    @pytest.mark.parametrize("own", [True, False, None])
    def test_the_sdks_word_of_what_is_of_the_program_does_not_count(self, library: Frame, own: bool | None) -> None:
        """It takes fetched modules for the program's, and with -trimpath nothing."""
        frames = [Frame(name, "main", "", "github.com/acme/shop/main.go", in_app=own) for name in ("main", "handle")]
        found = parts(go("*shop.StockError", "none left", *frames, library))
        assert found == ("StockError", "main\tmain", "main\thandle")

    def test_plain_errors_are_told_apart_by_what_failed_in_the_end(self) -> None:
        told = [("errorString", "EOF"), ("wrapError", "no stock: not found"), ("Error", 'Get "http://x": connection refused')]
        events = [go(f"*x.{kind}", message) for kind, message in told]
        assert len({group(each).fingerprint for each in events}) == 3

    def test_what_was_being_done_is_no_part_of_it(self) -> None:
        texts = ["not found", "no stock: not found", "place order 12: no stock: not found", "no stock: not found\nno cart: gone"]
        assert alike(*(go("*fmt.wrapError", text) for text in texts))

    def test_closures_have_the_name_of_their_caller_which_the_sdk_cuts_off(self) -> None:
        """Of what is called by another, as by a library, nobody knows."""

        def closures(*names: str) -> Event:
            return go(
                "*shop.StockError", "none left", MAIN, HANDLE, *(Frame(name, "main", "", "/srv/shop/main.go") for name in names)
            )

        assert alike(closures("func1"), closures("handle.func1"))
        assert alike(closures("func2", "1"), closures("handle.func2", "handle.func2.1"))
        assert not alike(closures("func1"), closures("buy", "func1"))

    def test_a_value_of_an_own_type_is_printed_with_the_type(self) -> None:
        assert alike(go("", "12"), printed("go", "", "main.code(12)", f"panic: main.code(12)\n\n{GOROUTINE}"))

    def test_a_panic_that_is_no_error_is_one_by_the_sdk_which_sends_a_message_with_its_stack(self) -> None:
        message = event("go", message="the shelf is empty", stack=(MAIN, HANDLE, BUY), level=Level.FATAL)
        assert alike(message, printed("go", "", "the shelf is empty", GOROUTINE), go("*errors.errorString", "the shelf is empty"))

    def test_a_message_that_is_no_panic_is_a_message(self) -> None:
        assert parts(event("go", message="the shelf is empty", stack=(MAIN, BUY), level=Level.INFO)) == ("the shelf is empty",)


PAY = Frame("pay", "", "/srv/shop/pay.js", "/srv/shop/pay.js", in_app=True)
GONE = "ENOENT: no such file or directory, open"


class TestJavaScript:
    def test_failed_calls_of_the_system_have_neither_paths_nor_their_code_for_a_type(self) -> None:
        """Sentry's SDK leaves the path out, and OpenTelemetry's says the code for the type."""
        told = [("Error", GONE), ("ENOENT", f"{GONE} '/srv/x'"), ("Error", f"{GONE} '/srv/x'"), ("Error", f"{GONE} '/a' -> '/b'")]
        assert alike(*(event("node", ExceptionInfo(kind, value)) for kind, value in told))
        other = event("node", ExceptionInfo("Error", "EACCES: permission denied, open '/srv/x'"))
        assert not alike(other, event("node", ExceptionInfo("Error", GONE)))

    def test_an_error_whose_name_is_empty_is_an_error(self) -> None:
        assert alike(*(event("node", ExceptionInfo(kind, "x", frames=(PAY,))) for kind in ("", "Error")))

    def test_what_is_thrown_and_is_no_error_is_told_by_its_value(self) -> None:
        """Sentry's SDK gives it a type and the stack of its own call."""

        def by_sentry(value: str) -> Event:
            return event("node", ExceptionInfo("Error", value, frames=(PAY,), extra={"mechanism": {"synthetic": True}}))

        assert alike(by_sentry("out of stock"), event("node", ExceptionInfo("", "out of stock")))
        assert not alike(by_sentry("out of stock"), by_sentry("card declined"))

    @pytest.mark.parametrize("path", ["evalmachine.<anonymous>", "data:text/javascript,throw 1"])
    def test_scripts_that_are_no_files_are_none_of_the_programs(self, path: str) -> None:
        script = Frame("run", "", path, path)
        assert parts(event("node", ExceptionInfo("TypeError", frames=(Frame("pay", "", PAY.file, PAY.file), script)))) == (
            "TypeError",
            "shop/pay\tpay",
        )
