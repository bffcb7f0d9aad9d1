"""A round of clients and a server in this process, with nodes that fall silent and wires that change messages."""

from __future__ import annotations

import hashlib

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import fastimg as fi

STEPS = ("keys", "shares", "mask", "unmask", "confirm")


def identities(nodes):
    keys = {node: Ed25519PrivateKey.generate() for node in nodes}
    return keys, {node: key.public_key() for node, key in keys.items()}


def make(vectors, *, active=False, server=None, **options):
    """({node: Client}, Server) for {node: vector}."""
    n = options.pop("n", len(vectors))
    keys, roster = identities(vectors) if active else ({}, None)
    extra = {node: {"identity": keys[node], "roster": roster} if active else {} for node in vectors}
    clients = {node: fi.secagg.Client(node, v, n=n, **extra[node], **options) for node, v in vectors.items()}
    length = next(iter(vectors.values())).shape[-1]
    threshold = options.get("threshold")
    return clients, fi.secagg.Server(n=n, threshold=threshold, length=length, roster=roster, **(server or {}))


def play(clients, server, silent=None, change=lambda step, node, message: message):
    """Run it. silent: {node: step from which it says nothing}; change: what the wire to the server does."""
    silent = silent or {}
    for node, client in clients.items():
        if silent.get(node, 9) > 0:
            server.receive(change(0, node, client.start()))
    step = 1
    while messages := server.advance():
        for node, message in messages.items():
            if silent.get(node, 9) <= step:
                continue
            answer = clients[node].receive(message)
            if answer is not None:
                server.receive(change(step, node, answer))
        step += 1
    return server.result()


def small(active=False, **options):
    vectors = {i: np.arange(i, i + 5, dtype=np.uint32) for i in range(4)}
    return make(vectors, active=active, **({"threshold": 3} | options))


def resealed(message, place, value=None):
    """The message with a byte of its body changed and the digest made anew: a server (or node) that lies."""
    changed = bytearray(message[:-32])
    changed[place] = changed[place] ^ 1 if value is None else value
    return bytes(changed) + hashlib.sha256(changed).digest()
