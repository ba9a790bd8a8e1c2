"""Versions, files and names that are written like personal data stay in texts; personal data does not, whatever it is beside."""

import random

import pytest
from souk_monitor.events import Frame
from unit.monitor.scrubs import left, scrubbed

HOST = "93.184.216.34"
"""An address that is no private one."""


@pytest.mark.parametrize(
    "text",
    [
        "version 1.2.3.4 is old",
        "FileVersion: 1.2.3.4",
        '{"release":"Acme.Shop@1.2.3.4"}',
        r"{\"appVersion\":\"1.2.3.4\"}",
        '[assembly: AssemblyVersion("1.2.3.4")]',
        "since release Acme.Shop@1.2.3.4 of today",
        "firmware 4.2.0.1, v 1.2.3.4 and v1.2.3.4",
        "rv:1.8.1.13) Gecko/1.9.0.1",
        "Mozilla/5.0 (X11) Shop/7.1.2.3 Safari/537.36",
        "OpenSSL 1.1.1.1 on Linux 5.15.0.91",
        "rails (>= 7.0.8.1, ~> 7.0.8.1)",
        "activerecord (7.0.8.1) lib/active_record/base.rb:12:in `find'",
        "/gems/activerecord-7.0.8.1/lib/active_record/base.rb:12",
        r"C:\Users\x\AppData\Local\shop\app-1.2.3.4\resources\app.asar",
        r"C:\\Program Files\\Shop\\1.2.3.4\\shop.dll",
        "jar:file:/srv/shop-1.2.3.4.jar!/x",
        "https://cdn.example/libs/jquery/1.2.3.4/jquery.min.js:1:2",
        "https://cdn.example/app.js?v=1.2.3.4",
        "@acme/shop@1.2.3.4 and /node_modules/.pnpm/vue@3.2.1.4/x",
        "0.12.3.4 and 255.255.255.0",
    ],
)
def test_four_numbers_are_a_version_where_what_is_beside_them_says_so(text: str):
    assert left(text) == text


@pytest.mark.parametrize(
    "text",
    [
        'client: {}, server: shop.example, request: "GET /x.js"',
        "Failed password for x from {} port 22",
        "Connection refused: db/{}:5432",
        "Connection refused: db.internal/{}",
        "failed to connect to /{} (port 443) after 10000ms",
        "Host/{}:80",
        "Access denied for user 'shop'@'{}'",
        "ssh deploy@{} of release",
        "http://shop@{}/app.js",
        "http://{}/a/b.js",
        "http://node-{}.internal/app.js",
        r"\\{}\share\a.dll",
        "GET /whois/{} 200",
        "GET /whois/{}/index.php",
        "TLS version: {}:443",
        "unsupported version\n{} - - GET",
        "version check of {} failed, conversion {}",
        "v1 is called by {}",
        "bad version, {}",
        "srv{}",
        "network {}/24",
        "capture_{}.zip, logs/{}.log",
        "q=from%20{}%20on",
        "shop ({}) is gone",
        "ip={}&v=2",
    ],
)
@pytest.mark.parametrize("address", [HOST, "10.0.0.5"])
def test_four_numbers_are_an_address_else(text: str, address: str):
    assert left(text.format(address, address)) == text.format("[ip]", "[ip]")


def test_what_has_the_name_of_an_agent_before_it_is_a_version_but_in_a_private_network():
    assert left("Shop/7.1.2.3 and Shop/192.168.1.7") == "Shop/7.1.2.3 and Shop/[ip]"


@pytest.mark.parametrize(
    "text",
    [
        "icon@2x.png, logo@2x.dark.png and icon%402x.png",
        "react-dom@18.2.0.production.min.js and lodash@next.4.min.js",
        "https://cdn.example/npm/vue@3.2.1.js and vue%403.2.1.js",
        "my.app@1.2.3-beta.dev",
        "render@main.chunk.js:10:5, onClick@app.tsx",
        "getty@tty1.service and user@1000.service failed",
        "this@MainActivity.finish(), super@Shop.close()",
        "git@github.com:acme/shop.git and ssh://git@github.com/acme/shop",
    ],
)
def test_a_name_of_a_file_or_a_package_is_no_e_mail_address(text: str):
    assert left(text) == text
    frame = Frame(text, module=text, file=text, context_line=text)
    assert scrubbed(stack=(frame,)).scrubbed_fields == ()


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("ada@example.dev", "[email]"),
        ("ada@163.com and ada@vip.163.com", "[email] and [email]"),
        ("ada@2x.com", "[email]"),
        ("git@shop.example: refused", "[email]: refused"),
        ("avatars/ada@example.com.png", "avatars/[email].png"),
        ("ada%40example.com.min.js", "[email].min.js"),
        ("openvpn@ada.example.com.service", "[email].service"),
        ("this@example.dev and digit@github.com", "[email] and [email]"),
        ("ada.lovelace+shop@mail.example.co.uk", "[email]"),
        ("to=<ada@example.dev>, relay=mx", "to=<[email]>, relay=mx"),
        ("Key (email)=(ada@example.dev) exists", "Key (email)=([email]) exists"),
        ("version ada@example.dev, release@example.dev", "version [email], [email]"),
    ],
)
def test_an_e_mail_address_goes_whatever_it_is_beside(text: str, clean: str):
    assert left(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "Ada::Face#call",
        "uninitialized constant ::Face",
        "Bed::~Bed()",
        "Fad::{closure}",
        "Feed::Dad",
        "x[1::2], y[::3]",
        "Cafe::<T>",
    ],
)
def test_names_and_slices_are_no_addresses(text: str):
    assert left(text) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("dial 2001:db8::1: refused", "dial [ip]: refused"),
        ("addr:2001:db8::1", "addr:[ip]"),
        ("ipv6:%5B2001:db8::1%5D:50051", "ipv6:%5B[ip]%5D:50051"),
        ("[2607:f8b0:4005:805::200e]:443", "[[ip]]:443"),
        ("fe80::1c2d:3eff:fe4f:5a6b%eth0", "[ip]%eth0"),
        ("::ffff:5db8:d822 and 64:ff9b::5db8:d822", "[ip] and [ip]"),
        ("fdab:cdef::abcd.", "[ip]."),
        ("2001:db8::: and fdab:1def:::", "[ip]: and [ip]:"),
    ],
)
def test_an_ipv6_goes_whatever_it_is_beside(text: str, clean: str):
    assert left(text) == clean


PIECES = [
    "1.2.3.4", "version 1.2.3.4", "Shop/1.2.3.4", "@a-", "app-1.2.3.4/a.js", "a/1.2.3.4/", "v", " (", ") lib/", "release ",
    "a@b.c.js", "icon@2x.png", "ada@example.dev", "%40", "2001:db8::1", "::1:", "Ada::Face", ":", ".", "/", "\n", '"', "%20", "%5B",
    "0", "@",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_what_is_taken_out_has_a_sign_of_its_own(seed: int):
    """Beside the signs of all personal data a text is rewritten as it is alone."""
    chance = random.Random(seed)
    for _ in range(300):
        text = "".join(chance.choices(PIECES, k=chance.randint(1, 5)))
        beside = scrubbed(message=text, contexts={"x": "a@b.example c%40d.example 10.1.2.3 fe80::1:2"})
        assert left(text) == beside.message, text
