"""Writes vectors.json: tokens and keys by PyJWT and cryptography, for tests of what checks them.

Run `pip install pyjwt cryptography`, then `python3 vectors.py > vectors.json`. Every run makes new keys; the private
ones are kept nowhere. What PyJWT does not sign (a wrong algorithm, none) is put together by hand.
"""

import base64
import hashlib
import hmac
import json

import cryptography
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import get_default_algorithms

CLAIMS = {
    "sub": "42",
    "iat": 1700000000,
    "exp": 4102444800,
    "jti": "one",
    "aud": ["chat", "mail"],
    "iss": "https://issuer.example",
    "info": {"name": "Zoë"},
    "meta": {"plan": "paid"},
    "channels": ["news"],
    "subs": {"room": {"data": {"hi": 1}, "override": {"presence": {"value": True}}}},
}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header, secret):
    message = b64(json.dumps(header).encode()) + "." + b64(json.dumps(CLAIMS).encode())
    made = hmac.new(secret, message.encode(), hashlib.sha256).digest() if secret else b""
    return message + "." + b64(made)


def pem(key):
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, kind).decode()


def main():
    algorithms = get_default_algorithms()
    rsa_key = rsa.generate_private_key(65537, 2048)
    other_rsa = rsa.generate_private_key(65537, 2048)
    short_rsa = rsa.generate_private_key(65537, 1024)
    keys = {
        **dict.fromkeys(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"], rsa_key),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "ES384": ec.generate_private_key(ec.SECP384R1()),
        "ES512": ec.generate_private_key(ec.SECP521R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }
    good, bad = [], []
    for name in ["HS256", "HS384", "HS512"]:
        secret = "a secret that is at least sixty-four bytes long, as RFC 7518 has it."
        token = jwt.encode(CLAIMS, secret, algorithm=name, headers={"kid": name})
        jwk = algorithms[name].to_jwk(secret, as_dict=True)
        good.append({"alg": name, "secret": secret, "jwk": {**jwk, "kid": name}, "token": token})
    for name, key in keys.items():
        token = jwt.encode(CLAIMS, key, algorithm=name, headers={"kid": name})
        jwk = algorithms[name].to_jwk(key.public_key(), as_dict=True)
        good.append({"alg": name, "pem": pem(key), "jwk": {**jwk, "kid": name}, "token": token})
    public = pem(rsa_key)
    for name, pem_text, token in [
        ("none", public, by_hand({"alg": "none"}, None)),
        ("None", public, by_hand({"alg": "None"}, None)),
        ("the public key as a secret", public, by_hand({"alg": "HS256"}, public.encode())),
        ("another key", pem(other_rsa), good[3]["token"]),
        ("ES256 for an RSA key", public, good[9]["token"]),
        ("RS256 for a key of a curve", pem(keys["ES256"]), good[3]["token"]),
        ("RSA of 1024 bits", pem(short_rsa), jwt.encode(CLAIMS, short_rsa, algorithm="RS256")),
        ("Ed448", pem(edwards := ed448.Ed448PrivateKey.generate()), jwt.encode(CLAIMS, edwards, algorithm="EdDSA")),
    ]:
        bad.append({"alg": name, "pem": pem_text, "token": token})
    made = f"vectors.py, PyJWT {jwt.__version__}, cryptography {cryptography.__version__}"
    print(json.dumps({"made_by": made, "good": good, "bad": bad}, indent=1))


main()
