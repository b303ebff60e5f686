"""Files made to hurt: refused with one sentence, or read as what they are; nothing else is ever opened."""

import os
import socket
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.decode import iter_frames
from pipeline.encode import EncodeSettings, VideoEncoder, plan_encoding
from pipeline.errors import InputError, UnreadableInputError, UnsupportedInputError
from pipeline.mux import mux
from pipeline.probe import probe

from .media import ffmpeg, make_video, picture_source


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("hostile") / "good.mp4", num_frames=3, has_sound=True)


NAMES = [
    b"http:x.mp4",
    b"a:b.mp4",
    b"-x.mp4",
    b"%03d.mp4",
    b"concat:a|b.mp4",
    b"pipe:0.mp4",
    b"$(touch canary).mp4",
    b"`touch canary`; touch canary.mp4",
    b"two\nlines.mp4",
    b"not \xff\xfe utf-8.mp4",
    "rtl \u202e4pm.mp4".encode(),
    b"quote'\"\\.mp4",
    b"x" * 240 + b".mp4",
]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_any_name_is_only_a_name(name: bytes, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = Path(os.fsdecode(name))
    source.write_bytes(video.read_bytes())
    info = probe(source)
    frames = list(iter_frames(info, strict=True))
    plan = plan_encoding(info, EncodeSettings("libx264", preset="ultrafast"))
    chunk = tmp_path / f"chunk{plan.chunk_suffix}"
    with VideoEncoder(chunk, info, plan) as encoder:
        for frame in frames:
            encoder.write(frame)
    out = Path(os.fsdecode(b"out " + name[:200].replace(b".mp4", b"") + b".mp4"))
    mux([chunk], info, out, pts=[frame.pts for frame in frames])
    assert len(list(iter_frames(probe(out)))) == 3
    assert len(probe(out).of_kind("audio")) == 1
    assert not (tmp_path / "canary").exists()


@pytest.fixture
def listener() -> Iterator[tuple[int, list[object]]]:
    """A server on this machine that counts who calls."""
    calls: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        is_over = threading.Event()

        def listen() -> None:
            while not is_over.is_set():
                try:
                    calls.append(server.accept()[0].close())
                except TimeoutError:
                    continue

        thread = threading.Thread(target=listen)
        thread.start()
        yield server.getsockname()[1], calls
        is_over.set()
        thread.join()


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{port}/x.ts\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{sibling}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{sibling}'\n",
        "ffconcat version 1.0\nfile 'http://127.0.0.1:{port}/x.mp4'\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
        "<Representation><BaseURL>http://127.0.0.1:{port}/x</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
        "1\n00:00:00,000 --> 00:00:01,000\nonly words\n",
        '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>',
        "just some text, no video at all\n" * 50,
    ],
    ids=["hls-http", "hls-file", "concat-file", "concat-http", "dash", "sdp", "srt", "svg", "text"],
)
def test_a_playlist_or_text_named_mp4_is_refused_and_opens_nothing(
    playlist: str, video: Path, tmp_path: Path, listener: tuple[int, list[object]]
) -> None:
    port, calls = listener
    (tmp_path / "sibling.mp4").write_bytes(video.read_bytes())
    crafted = tmp_path / "crafted.mp4"
    crafted.write_text(playlist.format(port=port, sibling="sibling.mp4"))
    with pytest.raises(UnsupportedInputError, match=r"crafted\.mp4.* is not a video we can read"):
        probe(crafted)
    assert not calls


def test_an_image_named_mp4_is_refused(tmp_path: Path) -> None:
    picture = ffmpeg(tmp_path / "a.png", *picture_source("32x32", 1), "-frames:v", "1")
    crafted = picture.rename(tmp_path / "crafted.mp4")
    with pytest.raises(UnsupportedInputError, match="is not a video we can read"):
        probe(crafted)


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "socket", "missing", "loop", "empty", "dangling"])
def test_what_is_no_regular_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind in ("loop", "dangling"):
        path.symlink_to(path if kind == "loop" else tmp_path / "nothing")
    elif kind == "empty":
        path.touch()
    with pytest.raises(UnreadableInputError, match=path.name):
        probe(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_told(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(video.read_bytes())
    path.chmod(0)
    with pytest.raises(UnreadableInputError, match="Permission denied"):
        probe(path)


def test_a_link_that_the_user_names_is_followed(video: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.mp4"
    link.symlink_to(video)
    assert probe(link).video.width == 96


def test_messages_are_one_printable_line_whatever_the_name(tmp_path: Path) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/a\n\xff.mp4"))
    with pytest.raises(UnreadableInputError) as caught:
        probe(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.encode("utf-8").decode() == message


def test_pictures_beyond_the_limit_are_refused_before_they_are_decoded(video: Path) -> None:
    with pytest.raises(UnsupportedInputError, match="96 x 64 pixels; the limit is 6000"):
        probe(video, max_pixels=6000)


def test_a_picture_bomb_in_a_small_file_takes_no_memory(tmp_path: Path) -> None:
    # Given a 64x64 PNG film whose header is changed to claim 30000 x 30000 pixels
    source = ffmpeg(tmp_path / "bomb.mkv", *picture_source("64x64", 1), "-c:v", "png")
    data = bytearray(source.read_bytes())
    at = data.index(b"IHDR")
    data[at + 4 : at + 12] = (30000).to_bytes(4, "big") * 2
    data[at + 17 : at + 21] = zlib.crc32(data[at : at + 17]).to_bytes(4, "big")
    source.write_bytes(data)
    before = peak_kib()
    # When it is probed, then it is refused and 900 megapixels were never allocated
    with pytest.raises(InputError, match=r"bomb\.mkv"):
        probe(source)
    assert peak_kib() - before < 200_000


def peak_kib() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
