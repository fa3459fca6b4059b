"""Images as parts of messages."""

from __future__ import annotations

import base64

import pytest

from scillm import BadRequestError
from scillm_dialects.images import MAX_IMAGE_BYTES, image

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 8


@pytest.mark.parametrize("url", ["https://h/a.png", "http://h/a.png", "data:image/png;base64,AAAA"])
def test_an_address_is_sent_as_it_is(url):
    """Nothing is fetched."""
    assert image(url) == {"type": "image_url", "image_url": {"url": url}}


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a..", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
    ],
)
def test_bytes_and_files_become_data_urls(content, media_type, tmp_path):
    """The type is told by the first bytes, not by the name."""
    path = tmp_path / "picture.txt"
    path.write_bytes(content)
    url = f"data:{media_type};base64,{base64.b64encode(content).decode()}"
    for source in (content, path, str(path)):
        assert image(source, detail="low") == {
            "type": "image_url",
            "image_url": {"url": url, "detail": "low"},
        }


def test_what_is_no_image_is_refused(tmp_path):
    """Another format, a missing file, too many bytes."""
    with pytest.raises(BadRequestError, match=r"begins with b'%PDF-1\.7', which is no PNG"):
        image(b"%PDF-1.7")
    with pytest.raises(BadRequestError, match="cannot be read: No such file"):
        image(tmp_path / "none.png")
    with pytest.raises(BadRequestError, match="more than 20971520: shrink it"):
        image(PNG + b"0" * MAX_IMAGE_BYTES)
    with pytest.raises(BadRequestError, match="cannot be made of 5: give a path"):
        image(5)


def test_image_is_lent_to_scillm():
    """``from scillm import image``."""
    from scillm import image as lent

    assert lent is image
