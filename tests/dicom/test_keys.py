"""The site key and the codes made with it."""

from __future__ import annotations

import re

import pytest
from identity_maker import KEY

import fastimg as fi
from fastimg.dicom._keys import load_key, pseudonym


def test_keys_are_private_files(tmp_path):
    path = tmp_path / "deep" / "site.key"
    with pytest.raises(fi.errors.ArgumentError, match="create=True"):
        load_key(path)
    key = load_key(path, create=True)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path) == load_key(path, create=True) == key
    assert [p.name for p in path.parent.iterdir()] == ["site.key"]
    assert load_key(tmp_path / "other.key", create=True) != key
    path.chmod(0o640)
    with pytest.raises(fi.errors.RefusedError, match="chmod 600"):
        load_key(path)
    path.chmod(0o600)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(fi.errors.RefusedError, match="plain file"):
        load_key(tmp_path / "link")
    path.write_text("fastimg-key 2\nabc\n")
    with pytest.raises(fi.errors.FormatError, match="newer"):
        load_key(path)
    for text in ("", "hello", "fastimg-key 1\n", "fastimg-key 1\n00ff\n"):
        path.write_text(text)
        with pytest.raises(fi.errors.FormatError, match="not a key file"):
            load_key(path)


def test_pseudonyms():
    """HMAC-SHA-256, worked out with the standard library alone."""
    import hashlib
    import hmac

    expected = hmac.new(KEY, b"fastimg pseudonym 1\x00M\xc3\xbcller", hashlib.sha256).hexdigest()[:32]
    assert pseudonym("Müller", key=KEY) == pseudonym(" Mu\u0308ller ", key=KEY) == expected
    assert pseudonym("Muller", key=KEY) != expected
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", expected)
    with pytest.raises(fi.errors.ArgumentError, match="key"):
        pseudonym("x", key="text")
